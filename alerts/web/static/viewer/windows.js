// Windows: which Hounsfield units become black and which white.

export const HU_FLOOR = -1024;
export const HU_CEILING = 3071;

/** The usual windows of a head CT. */
export const PRESETS = {
  brain: { words: "Brain", centre: 40, width: 80 },
  subdural: { words: "Subdural", centre: 80, width: 200 },
  bone: { words: "Bone", centre: 600, width: 2800 },
};

export const NARROWEST = 2;
export const WIDEST = HU_CEILING - HU_FLOOR;

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export function bounded({ centre, width }) {
  return {
    centre: clamp(Math.round(centre), HU_FLOOR, HU_CEILING),
    width: clamp(Math.round(width), NARROWEST, WIDEST),
  };
}

/** A table from HU - HU_FLOOR to an opaque grey as ImageData keeps it (little-endian RGBA). */
export function greys({ centre, width }) {
  const table = new Uint32Array(WIDEST + 1);
  const low = centre - width / 2;
  for (let at = 0; at <= WIDEST; at += 1) {
    const grey = clamp(Math.round((255 * (at + HU_FLOOR - low)) / width), 0, 255);
    table[at] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
  }
  return table;
}

/** Paint HU into an ImageData of the same size. */
export function paint(image, hu, table) {
  const pixels = new Uint32Array(image.data.buffer);
  for (let at = 0; at < hu.length; at += 1) pixels[at] = table[hu[at] - HU_FLOOR];
}
