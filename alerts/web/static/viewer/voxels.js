// Hounsfield units out of a packed picture; the format is described in streams/contracts/pictures.py.
// The gzip is already undone by the browser (Content-Encoding).

/** @returns {Int16Array} HU, row by row. */
export function unpack(bytes, rows, columns) {
  const pixels = rows * columns;
  if (bytes.length !== 2 * pixels) throw new Error("a picture of another size");
  const hu = new Int16Array(pixels);
  for (let row = 0, at = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1, at += 1) {
      const folded = bytes[at] | (bytes[at + pixels] << 8);
      const a = column ? hu[at - 1] : 0;
      const b = row ? hu[at - columns] : 0;
      const c = column && row ? hu[at - columns - 1] : 0;
      const low = a < b ? a : b;
      const high = a < b ? b : a;
      const predicted = c >= high ? low : c <= low ? high : a + b - c;
      hu[at] = predicted + ((folded >>> 1) ^ -(folded & 1));
    }
  }
  return hu;
}
