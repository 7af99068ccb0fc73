// The viewer on the study page: scroll through slices, window, zoom, heat map, key slices; MPR and 3-D on demand.
// What is shown is one object, `view`; every gesture changes it and asks for a new drawing.

import { inOrderOfInterest, Stack } from "./stack.js";
import { Stage } from "./stage.js";
import { bounded, clamp, greys, paint, PRESETS } from "./windows.js";

const MOST_ZOOM = 8;
const WHEEL_STEP = 40; // wheel units for one slice
const WINDOW_PER_PIXEL = 1 / 400; // of the width, at least one HU
const THUMBNAIL = 72;
const BUTTONS = { slices: "slices", mpr: "mpr", volume: "volume-view" };

const root = document.getElementById("viewer");
if (root) start(root);

function start(root) {
  const find = (name) => root.querySelector(`[data-is="${name}"]`);
  const box = find("stage");
  const stage = new Stage(find("canvas"));
  const slider = find("slider");
  const view = { mode: "slices", series: 0, index: null, ...PRESETS.brain, zoom: 1, x: 0, y: 0, heat: false, drag: "scroll" };
  const stack = new Stack(root.dataset.source, changed);
  stack.wanted = () => (series() ? inOrderOfInterest(series(), view.index ?? 0) : []);
  let drawing = 0;
  let volume = null;

  const series = () => stack.series[view.series];
  const slice = () => series()?.slices[view.index];

  function changed(fetched) {
    if (fetched === null) takeOver();
    // The list may have come anew while a slice was fetched: what it is called now counts.
    const one = fetched && (series()?.slices.find((each) => each.url === fetched.url) || fetched);
    if (one === null || one === slice()) ask();
    if (one && one.key !== null) thumbnail(one);
    say();
  }

  /** A new list has come: stay at the slice that is being looked at. */
  let looking = null;
  function takeOver() {
    const had = looking;
    const at = stack.series.findIndex((one) => one.series_key === had?.series_key);
    view.series = Math.max(0, at);
    const slices = series()?.slices || [];
    const known = slices.findIndex((one) => one.unit === had?.unit);
    const first = slices.findIndex((one) => one.key === 0);
    slider.max = Math.max(0, slices.length - 1);
    slider.disabled = slices.length < 2;
    go(known >= 0 && at >= 0 ? known : first >= 0 ? first : Math.floor(slices.length / 2));
    choices();
    thumbnails();
  }

  function go(index) {
    const slices = series()?.slices || [];
    view.index = slices.length ? clamp(index, 0, slices.length - 1) : null;
    slider.value = view.index ?? 0;
    if (slice()) looking = { series_key: series().series_key, unit: slice().unit };
    stack.pump();
    ask();
  }

  const step = (by) => go((view.index ?? 0) + by);

  function set(changes) {
    Object.assign(view, changes, bounded({ ...view, ...changes }));
    view.zoom = clamp(view.zoom, 1, MOST_ZOOM);
    const slack = (view.zoom - 1) / 2 + 0.25;
    view.x = view.zoom === 1 ? 0 : clamp(view.x, -slack, slack);
    view.y = view.zoom === 1 ? 0 : clamp(view.y, -slack, slack);
    ask();
    volume?.window(view);
  }

  function ask() {
    if (!drawing) drawing = requestAnimationFrame(() => { drawing = 0; draw(); });
  }

  function draw() {
    if (!series()) return;
    stage.resize();
    const one = slice();
    const hu = one && stack.hu(one);
    if (hu || root.classList.contains("drawn")) stage.draw(one, hu, one && stack.heat(one), view);
    if (hu && !root.classList.contains("drawn")) {
      root.classList.add("drawn");
      root.dataset.firstSlice = Math.round(performance.now());
    }
    say();
  }

  // Words

  function say() {
    const one = slice();
    const slices = series()?.slices || [];
    const missing = one && !stack.hu(one);
    const place = one ? placeWords(one, view.index, slices.length) : "";
    find("place").textContent = missing ? `${place}, ${stack.hasFailed(one) ? "could not be fetched, trying again" : "coming"}` : place;
    slider.setAttribute("aria-valuetext", place);
    find("window").textContent = `W ${view.width} L ${view.centre}`;
    const loaded = series() ? stack.loaded(series()) : 0;
    find("loaded").textContent = loaded < slices.length ? `${loaded} of ${slices.length} slices loaded` : "";
    for (const button of root.querySelectorAll("[data-preset]")) {
      const preset = PRESETS[button.dataset.preset];
      button.setAttribute("aria-pressed", preset.centre === view.centre && preset.width === view.width);
    }
    press("heat", view.heat);
    press("drag", view.drag === "window");
    for (const mode of ["slices", "mpr", "volume"]) press(BUTTONS[mode], view.mode === mode);
    const without = view.heat && one && !one.heat_url;
    find("remark").textContent = without ? "The reader's heat map of this slice is not known." : "";
    root.dataset.index = view.index ?? "";
    for (const button of find("keys").children) button.setAttribute("aria-pressed", button.dataset.unit === one?.unit);
  }

  function press(name, on) { find(name)?.setAttribute("aria-pressed", on); }

  function placeWords(one, index, count) {
    const parts = [`${index + 1} / ${count}`];
    if (one.position_mm !== null) parts.push(`${Math.round(one.position_mm)} mm`);
    if (one.averaged > 1) parts.push(`mean of ${one.averaged}`);
    return parts.join(" · ");
  }

  // Key slices and series

  function thumbnails() {
    const keys = (series()?.slices || []).filter((one) => one.key !== null).sort((a, b) => a.key - b.key);
    find("keys").replaceChildren(...keys.map((one) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.unit = one.unit;
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = THUMBNAIL;
      const words = document.createElement("span");
      words.textContent = `Key ${one.key + 1}`;
      button.append(canvas, words);
      button.addEventListener("click", () => { mode("slices"); go(series().slices.findIndex((s) => s.unit === one.unit)); });
      return button;
    }));
    keys.forEach(thumbnail);
  }

  function thumbnail(one) {
    const canvas = root.querySelector(`[data-is="keys"] [data-unit="${CSS.escape(one.unit)}"] canvas`);
    const hu = stack.hu(one);
    if (!canvas || !hu) return;
    const whole = document.createElement("canvas");
    whole.width = one.columns;
    whole.height = one.rows;
    const image = new ImageData(one.columns, one.rows);
    paint(image, hu, greys(PRESETS.brain));
    whole.getContext("2d").putImageData(image, 0, 0);
    const extent = Stage.extent(one);
    const scale = THUMBNAIL / Math.max(extent.width, extent.height);
    const [width, height] = [extent.width * scale, extent.height * scale];
    const onto = canvas.getContext("2d");
    onto.imageSmoothingQuality = "high";
    onto.drawImage(whole, (THUMBNAIL - width) / 2, (THUMBNAIL - height) / 2, width, height);
  }

  function choices() {
    const select = find("series");
    select.hidden = stack.series.length < 2;
    select.replaceChildren(...stack.series.map((one, at) => new Option(`${one.name} (${one.slices.length})`, at, false, at === view.series)));
  }

  find("series").addEventListener("change", (event) => {
    view.series = Number(event.target.value);
    looking = { series_key: series().series_key, unit: null };
    takeOver();
    if (view.mode !== "slices") mode(view.mode);
  });

  // Slices, MPR, 3-D

  async function mode(name) {
    view.mode = name;
    root.classList.toggle("deep", name !== "slices");
    say();
    if (name === "slices") return ask();
    const note = find("remark");
    try {
      note.textContent = "Loading the slices…";
      await whole();
      const { Volume } = await import("./volume.js");
      volume ||= new Volume(find("volume"));
      await volume.show(series(), (one) => stack.hu(one), view);
      note.textContent = "";
      root.dataset.deep = name;
    } catch (error) {
      view.mode = "slices";
      root.classList.remove("deep");
      say();
      note.textContent = `This view is not to be had here: ${error.message}`;
    }
  }

  const whole = () => new Promise((resolve, reject) => {
    const deadline = Date.now() + 60000;
    const look = () => {
      const slices = series()?.slices || [];
      if (slices.length && stack.loaded(series()) === slices.length) resolve();
      else if (Date.now() > deadline) reject(new Error("not all slices have come"));
      else { stack.pump(); setTimeout(look, 50); }
    };
    look();
  });

  // Buttons and keys

  const acts = {
    heat: () => set({ heat: !view.heat }),
    drag: () => set({ drag: view.drag === "window" ? "scroll" : "window" }),
    fit: () => set({ zoom: 1, x: 0, y: 0 }),
    slices: () => mode("slices"),
    mpr: () => mode("mpr"),
    "volume-view": () => mode("volume"),
  };
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.preset) { const { centre, width } = PRESETS[button.dataset.preset]; set({ centre, width }); }
    else acts[button.dataset.is]?.();
  });
  slider.addEventListener("input", () => go(Number(slider.value)));

  const keys = {
    ArrowUp: () => step(-1), ArrowDown: () => step(1), ArrowLeft: () => step(-1), ArrowRight: () => step(1),
    PageUp: () => step(-5), PageDown: () => step(5), Home: () => go(0), End: () => go(Infinity),
    1: () => set(plain("brain")), 2: () => set(plain("subdural")), 3: () => set(plain("bone")),
    "+": () => set({ zoom: view.zoom * 1.25 }), "-": () => set({ zoom: view.zoom / 1.25 }), 0: acts.fit,
    "[": () => set({ width: view.width * 0.9 }), "]": () => set({ width: view.width * 1.1 }),
    ",": () => set({ centre: view.centre - 5 }), ".": () => set({ centre: view.centre + 5 }),
    h: acts.heat, k: nextKey, m: acts.mpr, v: acts["volume-view"], s: acts.slices,
  };
  function plain(name) { const { centre, width } = PRESETS[name]; return { centre, width }; }
  function nextKey() {
    const marked = (series()?.slices || []).map((one, at) => [one.key, at]).filter(([key]) => key !== null).sort((a, b) => a[0] - b[0]);
    if (!marked.length) return;
    const now = marked.findIndex(([, at]) => at === view.index);
    go(marked[(now + 1) % marked.length][1]);
  }
  box.addEventListener("keydown", (event) => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });

  // Wheel, mouse and fingers

  let wheel = 0;
  box.addEventListener("wheel", (event) => {
    if (view.mode !== "slices") return;
    event.preventDefault();
    if (event.ctrlKey) return zoomAt(event.clientX, event.clientY, Math.exp(-event.deltaY / 200));
    wheel += event.deltaMode === 1 ? event.deltaY * WHEEL_STEP : event.deltaY;
    const steps = Math.trunc(wheel / WHEEL_STEP);
    wheel -= steps * WHEEL_STEP;
    if (steps) step(clamp(steps, -3, 3));
  }, { passive: false });

  function zoomAt(clientX, clientY, factor) {
    const rect = stage.canvas.getBoundingClientRect();
    const zoom = clamp(view.zoom * factor, 1, MOST_ZOOM);
    const real = zoom / view.zoom;
    const [u, v] = [(clientX - rect.left) / rect.width - 0.5, (clientY - rect.top) / rect.height - 0.5];
    set({ zoom, x: u - (u - view.x) * real, y: v - (v - view.y) * real });
  }

  const fingers = new Map();
  let scrolled = 0;
  let tapped = 0;
  const surface = stage.canvas;
  surface.addEventListener("pointerdown", (event) => {
    surface.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    scrolled = 0;
    if (fingers.size === 1 && event.pointerType !== "mouse") {
      if (event.timeStamp - tapped < 300) { view.zoom > 1 ? acts.fit() : zoomAt(event.clientX, event.clientY, 2.5); tapped = 0; }
      else tapped = event.timeStamp;
    }
  });
  for (const name of ["pointerup", "pointercancel"]) surface.addEventListener(name, (event) => fingers.delete(event.pointerId));
  surface.addEventListener("contextmenu", (event) => event.preventDefault());
  surface.addEventListener("pointermove", (event) => {
    readOut(event);
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const move = { x: event.clientX - before.x, y: event.clientY - before.y };
    if (fingers.size === 2) pinch(event, before, move);
    else if (event.pointerType === "mouse" ? event.shiftKey || event.buttons === 4 : false) pan(move);
    else if (event.pointerType === "mouse" ? event.buttons === 1 : view.drag === "window") window_(move);
    else if (event.buttons === 2) zoomAt(event.clientX, event.clientY, Math.exp(-move.y / 150));
    else scroll(move);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (Math.abs(move.x) + Math.abs(move.y) > 4) tapped = 0;
  });

  function window_(move) {
    const pace = Math.max(1, view.width * WINDOW_PER_PIXEL);
    set({ width: view.width + move.x * pace, centre: view.centre + move.y * pace });
  }
  function pan(move) {
    const rect = surface.getBoundingClientRect();
    set({ x: view.x + move.x / rect.width, y: view.y + move.y / rect.height });
  }
  function scroll(move) {
    const count = series()?.slices.length || 1;
    const pace = clamp(surface.clientHeight / count, 6, 24); // pixels for one slice
    scrolled += move.y;
    const steps = Math.trunc(scrolled / pace);
    scrolled -= steps * pace;
    if (steps) step(steps);
  }
  function pinch(event, before, move) {
    const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    const was = Math.hypot(before.x - other.x, before.y - other.y);
    const is = Math.hypot(event.clientX - other.x, event.clientY - other.y);
    if (was > 0) zoomAt((event.clientX + other.x) / 2, (event.clientY + other.y) / 2, is / was);
    pan({ x: move.x / 2, y: move.y / 2 });
  }
  function readOut(event) {
    const one = slice();
    const hu = one && stack.hu(one);
    const at = hu && stage.pixelAt(one, view, event.clientX, event.clientY);
    find("hu").textContent = at ? `${hu[at.row * one.columns + at.column]} HU` : "";
  }

  new ResizeObserver(ask).observe(box);
  document.addEventListener("tocsin:pictures", () => stack.refresh().catch(later));
  const later = () => setTimeout(() => stack.refresh().catch(later), 3000);
  const first = find("first");
  const seen = () => { root.dataset.firstImage ||= Math.round(performance.now()); };
  if (first?.complete && first.naturalWidth) seen();
  else first?.addEventListener("load", seen, { once: true });
  root.classList.add("ready");
  stack.refresh().catch(later);
}
