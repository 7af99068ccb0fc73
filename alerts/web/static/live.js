"use strict";
// Keeps the parts of the page marked data-live current: each names where it comes from, and is found there by its id.
// Without this script the list reloads itself by <noscript>.
(() => {
  const parts = [...document.querySelectorAll("[data-live]")];
  if (!parts.length || !window.EventSource) return;
  let seen = null;
  let pictures = null;

  // Nothing is replaced under a finger or a mouse button: the tap would be lost.
  let pressed = 0;
  addEventListener("pointerdown", () => { pressed = Date.now(); }, true);
  const busy = (part) => {
    const active = document.activeElement;
    const filling = active && part.contains(active) && /^(INPUT|SELECT|TEXTAREA)$/.test(active.tagName);
    return filling || Date.now() - pressed < 1000;
  };

  const fresh = async (address) => {
    const answer = await fetch(address, { cache: "no-store" });
    if (answer.status === 401) location.reload(); // signed out: the page leads to the sign-in and back
    return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  };

  const fill = (part, page) => {
    const source = page.getElementById(part.id) || (parts.length === 1 ? page.body : null);
    if (!source || busy(part)) return;
    const active = document.activeElement;
    const focused = active && part.contains(active) && (active.id || active.getAttribute("href"));
    const boxes = [...part.querySelectorAll("input, select")].filter((box) => box.id || box.name);
    const kept = boxes.map((box) => [box.id ? `#${CSS.escape(box.id)}` : `[name="${CSS.escape(box.name)}"]`, box.value, box.checked, box.type]);
    part.replaceChildren(...source.childNodes);
    for (const [selector, value, checked, type] of kept) {
      const box = part.querySelector(selector);
      if (!box || type === "hidden") continue;
      if (type === "checkbox") box.checked = checked;
      else box.value = value;
    }
    if (focused) part.querySelector(`[id="${CSS.escape(focused)}"], a[href="${CSS.escape(focused)}"]`)?.focus();
  };

  const refresh = async () => {
    for (const address of new Set(parts.map((part) => part.dataset.live))) {
      const page = await fresh(address);
      if (page) parts.filter((part) => part.dataset.live === address).forEach((part) => fill(part, page));
    }
  };

  const lost = () => {
    if (document.getElementById("lost")) return;
    const note = document.createElement("p");
    note.id = "lost";
    note.className = "banner";
    note.setAttribute("role", "alert");
    note.textContent = "This page has lost its service and is not current.";
    document.getElementById("content").prepend(note);
  };

  const source = new EventSource("/events");
  // Also the first of each means news: something may have changed since the page was made.
  source.addEventListener("changed", (event) => {
    if (event.data !== seen) { seen = event.data; refresh().catch(lost); }
  });
  source.addEventListener("pictures", (event) => {
    if (event.data !== pictures) { pictures = event.data; document.dispatchEvent(new Event("tocsin:pictures")); }
  });
  source.onopen = () => { const note = document.getElementById("lost"); if (note) { note.remove(); refresh().catch(lost); } };
  source.onerror = lost;
  setInterval(() => refresh().catch(lost), 10000); // waiting times grow
})();
