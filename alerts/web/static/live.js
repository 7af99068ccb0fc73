"use strict";
// Keeps the part of the page marked #live current. Without this script the list reloads itself by <noscript>.
(() => {
  const live = document.getElementById("live");
  if (!live || !window.EventSource) return;
  let seen = null;

  // Nothing is replaced under a finger or a mouse button: the tap would be lost.
  let pressed = 0;
  addEventListener("pointerdown", () => { pressed = Date.now(); }, true);
  const busy = () => {
    const active = document.activeElement;
    const typing = active && live.contains(active) && active.tagName === "INPUT" && active.type === "text";
    return typing || Date.now() - pressed < 1000;
  };

  const refresh = async () => {
    const answer = await fetch(live.dataset.source, { cache: "no-store" });
    if (answer.status === 401) { location.reload(); return; } // signed out: the page leads to the sign-in and back
    if (!answer.ok) return;
    const text = await answer.text();
    if (busy()) return;
    const focused = document.activeElement && document.activeElement.getAttribute("href");
    const typed = [...live.querySelectorAll("input[type=text], input:not([type])")].map((box) => [box.id, box.value]);
    const checked = [...live.querySelectorAll("input:checked")].map((box) => box.id);
    const parsed = new DOMParser().parseFromString(text, "text/html");
    const part = live.dataset.part ? parsed.getElementById(live.dataset.part) : parsed.body;
    if (!part) return;
    live.replaceChildren(...part.childNodes);
    typed.forEach(([id, value]) => { const box = document.getElementById(id); if (box) box.value = value; });
    checked.forEach((id) => { const box = document.getElementById(id); if (box) box.checked = true; });
    if (focused) { const again = live.querySelector(`a[href="${CSS.escape(focused)}"]`); if (again) again.focus(); }
  };

  const lost = () => {
    if (document.getElementById("lost")) return;
    const note = document.createElement("p");
    note.id = "lost";
    note.className = "banner";
    note.setAttribute("role", "alert");
    note.textContent = "This page has lost its service and is not current.";
    live.before(note);
  };

  const source = new EventSource("/events");
  source.addEventListener("changed", (event) => {
    const first = seen === null;
    if (event.data !== seen) { seen = event.data; if (!first) refresh().catch(lost); }
  });
  source.onopen = () => { const note = document.getElementById("lost"); if (note) { note.remove(); refresh().catch(lost); } };
  source.onerror = lost;
  setInterval(() => refresh().catch(lost), 10000); // waiting times grow
})();
