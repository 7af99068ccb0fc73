// The stage: draws one slice with its window, its heat map and its marks onto a canvas, zoomed and moved as told.

import { greys, paint } from "./windows.js";

const HEAT = "#ff7a1a";
const HEAT_STRENGTH = 0.75;
const MARK = "#ffd60a";
const RULER_MM = 50;
const DEFAULT_SPACING_MM = 0.45;

export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.painted = document.createElement("canvas");
    this.tinted = document.createElement("canvas");
    this.last = {};
    this.table = null;
  }

  /** Fit the canvas to its box; true where its size has changed. */
  resize() {
    const scale = window.devicePixelRatio || 1;
    const box = this.canvas.getBoundingClientRect();
    const [width, height] = [Math.round(box.width * scale), Math.round(box.height * scale)];
    if (this.canvas.width === width && this.canvas.height === height) return false;
    this.canvas.width = width;
    this.canvas.height = height;
    return true;
  }

  /** Millimetres, or stand-ins, that the picture covers. */
  static extent(slice) {
    const [between_rows, between_columns] = slice.spacing_mm || [DEFAULT_SPACING_MM, DEFAULT_SPACING_MM];
    return { width: slice.columns * between_columns, height: slice.rows * between_rows };
  }

  /** Where the picture lies on the canvas, device pixels. */
  place(slice, view) {
    const extent = Stage.extent(slice);
    const { width, height } = this.canvas;
    const scale = Math.min(width / extent.width, height / extent.height) * view.zoom;
    const size = { width: extent.width * scale, height: extent.height * scale };
    return {
      x: width / 2 + view.x * width - size.width / 2,
      y: height / 2 + view.y * height - size.height / 2,
      ...size,
      scale,
    };
  }

  /** Row and column of the picture under a point of the page; null outside. */
  pixelAt(slice, view, clientX, clientY) {
    const box = this.canvas.getBoundingClientRect();
    const at = this.place(slice, view);
    const x = ((clientX - box.left) * this.canvas.width) / box.width;
    const y = ((clientY - box.top) * this.canvas.height) / box.height;
    const column = Math.floor(((x - at.x) / at.width) * slice.columns);
    const row = Math.floor(((y - at.y) / at.height) * slice.rows);
    return row >= 0 && row < slice.rows && column >= 0 && column < slice.columns ? { row, column } : null;
  }

  draw(slice, hu, heat, view) {
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!slice) return;
    const at = this.place(slice, view);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    if (hu) {
      this.repaint(slice, hu, view);
      context.drawImage(this.painted, at.x, at.y, at.width, at.height);
    }
    if (heat && view.heat) {
      this.tint(heat);
      context.globalAlpha = HEAT_STRENGTH;
      context.drawImage(this.tinted, at.x, at.y, at.width, at.height);
      context.globalAlpha = 1;
    }
    if (slice.peak && view.heat) this.ring(at.x + slice.peak[1] * at.width, at.y + slice.peak[0] * at.height);
    if (hu) this.letters(slice);
    if (slice.spacing_mm) this.ruler(at.scale);
  }

  repaint(slice, hu, view) {
    const { centre, width } = view;
    if (this.last.hu === hu && this.last.centre === centre && this.last.width === width) return;
    if (this.last.centre !== centre || this.last.width !== width) this.table = greys(view);
    if (this.painted.width !== slice.columns || this.painted.height !== slice.rows) {
      this.painted.width = slice.columns;
      this.painted.height = slice.rows;
    }
    const onto = this.painted.getContext("2d");
    const image = onto.createImageData(slice.columns, slice.rows);
    paint(image, hu, this.table);
    onto.putImageData(image, 0, 0);
    this.last = { hu, centre, width };
  }

  /** The heat map is the alpha of a picture; colour it. */
  tint(heat) {
    this.tinted.width = heat.width;
    this.tinted.height = heat.height;
    const onto = this.tinted.getContext("2d");
    onto.drawImage(heat, 0, 0);
    onto.globalCompositeOperation = "source-in";
    onto.fillStyle = HEAT;
    onto.fillRect(0, 0, heat.width, heat.height);
    onto.globalCompositeOperation = "source-over";
  }

  ring(x, y) {
    const { context } = this;
    const pixel = window.devicePixelRatio || 1;
    for (const [style, width] of [["rgb(0 0 0 / .6)", 4], [MARK, 2]]) {
      context.beginPath();
      context.arc(x, y, 22 * pixel, 0, 2 * Math.PI);
      context.strokeStyle = style;
      context.lineWidth = width * pixel;
      context.stroke();
    }
  }

  text(words, x, y, align, baseline = "middle") {
    const { context } = this;
    const pixel = window.devicePixelRatio || 1;
    context.font = `600 ${13 * pixel}px system-ui, sans-serif`;
    context.textAlign = align;
    context.textBaseline = baseline;
    context.lineWidth = 3 * pixel;
    context.strokeStyle = "rgb(0 0 0 / .8)";
    context.strokeText(words, x, y);
    context.fillStyle = "#e8edf3";
    context.fillText(words, x, y);
  }

  /** Which way is the patient's left? From the direction cosines; nothing where they are not known. */
  letters(slice) {
    if (!slice.orientation) return;
    const pixel = window.devicePixelRatio || 1;
    const { width, height } = this.canvas;
    const across = letter(slice.orientation.slice(0, 3));
    const down = letter(slice.orientation.slice(3, 6));
    this.text(opposite(across), 8 * pixel, height / 2, "left");
    this.text(across, width - 8 * pixel, height / 2, "right");
    this.text(opposite(down), width / 2, 8 * pixel, "center", "top");
    this.text(down, width / 2, height - 8 * pixel, "center", "bottom");
  }

  ruler(scale) {
    const { context, canvas } = this;
    const pixel = window.devicePixelRatio || 1;
    const length = RULER_MM * scale;
    if (length > canvas.width * 0.8) return;
    const x = canvas.width - 14 * pixel;
    const y = canvas.height - 34 * pixel;
    context.strokeStyle = "#e8edf3";
    context.lineWidth = 1.5 * pixel;
    context.beginPath();
    context.moveTo(x - length, y - 3 * pixel);
    context.lineTo(x - length, y + 3 * pixel);
    context.moveTo(x - length, y);
    context.lineTo(x, y);
    context.moveTo(x, y - 3 * pixel);
    context.lineTo(x, y + 3 * pixel);
    context.stroke();
    this.text("5 cm", x - length / 2, y + 13 * pixel, "center");
  }
}

/** The patient's side towards which a direction points (PS3.3 C.7.6.2: x to the left, y to the back, z to the head). */
function letter([x, y, z]) {
  const [a, b, c] = [Math.abs(x), Math.abs(y), Math.abs(z)];
  if (a >= b && a >= c) return x > 0 ? "L" : "R";
  if (b >= c) return y > 0 ? "P" : "A";
  return z > 0 ? "H" : "F";
}

const OPPOSITE = { L: "R", R: "L", A: "P", P: "A", H: "F", F: "H" };
const opposite = (side) => OPPOSITE[side];
