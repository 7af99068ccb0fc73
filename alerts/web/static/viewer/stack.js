// The slices of a study: the list as the service gives it, and the pixels, fetched in the order in which they are wanted.

import { unpack } from "./voxels.js";

const AT_A_TIME = 4;

export class Stack {
  /** @param changed called when the list has changed, and with a slice whenever its pixels have come. */
  constructor(source, changed) {
    this.source = source;
    this.changed = changed;
    this.series = [];
    this.voxels = new Map(); // address → Int16Array
    this.heats = new Map(); // address → ImageBitmap
    this.asked = new Set();
    this.failures = new Set();
    this.running = 0;
    this.wanted = () => [];
  }

  /** Ask for the list; slices that are known keep their pixels. */
  async refresh() {
    const answer = await fetch(this.source);
    if (!answer.ok) throw new Error(`the list of slices: ${answer.status}`);
    this.series = (await answer.json()).series;
    this.changed(null);
    this.pump();
  }

  hu(slice) { return this.voxels.get(slice.url); }
  hasFailed(slice) { return this.failures.has(slice.url); }
  heat(slice) { return this.heats.get(slice.heat_url); }
  loaded(series) { return series.slices.filter((slice) => this.voxels.has(slice.url)).length; }

  /** Fetch what is wanted and not here, most wanted first, a few at a time. */
  pump() {
    for (const slice of this.wanted()) {
      if (this.running >= AT_A_TIME) return;
      if (!this.asked.has(slice.url)) this.fetch(slice);
    }
  }

  async fetch(slice) {
    this.asked.add(slice.url);
    this.running += 1;
    try {
      const answer = await fetch(slice.url);
      if (!answer.ok) throw new Error(`a slice: ${answer.status}`);
      this.voxels.set(slice.url, unpack(new Uint8Array(await answer.arrayBuffer()), slice.rows, slice.columns));
      this.changed(slice);
      if (slice.heat_url) await this.fetchHeat(slice);
    } catch (error) {
      this.failures.add(slice.url);
      this.changed(slice);
      setTimeout(() => { this.asked.delete(slice.url); this.failures.delete(slice.url); this.pump(); }, 3000);
    } finally {
      this.running -= 1;
      this.pump();
    }
  }

  async fetchHeat(slice) {
    const answer = await fetch(slice.heat_url);
    if (!answer.ok) return;
    this.heats.set(slice.heat_url, await createImageBitmap(await answer.blob()));
    this.changed(slice);
  }
}

/** Slices from the middle outwards: what is looked at first, then its neighbours, key slices before all. */
export function inOrderOfInterest(series, index) {
  const keys = series.slices.filter((slice) => slice.key !== null).sort((a, b) => a.key - b.key);
  const around = series.slices.map((slice, at) => [Math.abs(at - index), slice]).sort((a, b) => a[0] - b[0]);
  const here = series.slices[index];
  return [...new Set([here, ...keys, ...around.map((pair) => pair[1])])].filter(Boolean);
}
