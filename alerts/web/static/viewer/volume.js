// MPR and 3-D by NiiVue, from the slices that the page already has. Loaded when first asked for.

import { Niivue } from "/static/vendor/niivue-0.69.0.min.js";
import { HU_FLOOR } from "./windows.js";

const HEADER_BYTES = 352;
const INT16 = 4; // NIfTI-1 datatype code
const CAMERA = [155, 48]; // azimuth and elevation: from the front, above and the side
const UNCUT = [2, 0, 0];
const RENDER = { centre: 55, width: 90 }; // without a surface a 3-D picture of the brain window is grey on grey

export class Volume {
  constructor(canvas) {
    this.canvas = canvas;
    this.shown = "";
  }

  async show(series, hu, view) {
    await this.open();
    const name = `${series.series_key}:${series.slices.length}`;
    if (this.shown !== name) {
      for (const old of [...this.niivue.volumes]) this.niivue.removeVolume(old);
      await this.niivue.loadFromArrayBuffer(nifti(series.slices, hu), "series.nii");
      this.shown = name;
      this.lookAt(series.slices);
    }
    const deep = view.mode === "volume";
    this.niivue.setSliceType(deep ? this.niivue.sliceTypeRender : this.niivue.sliceTypeMultiplanar);
    this.niivue.setClipPlane(deep ? this.cut(series.slices) : UNCUT);
    if (deep) this.niivue.setRenderAzimuthElevation(...CAMERA);
    this.deep = deep;
    this.window(view);
  }

  async open() {
    if (this.niivue) return;
    this.niivue = new Niivue({
      backColor: [0, 0, 0, 1],
      crosshairColor: [1, 0.84, 0.04, 0.8],
      clipPlaneColor: [0, 0, 0, 0],
      show3Dcrosshair: false,
      isRadiologicalConvention: true,
      sagittalNoseLeft: true,
      isSliceMM: true,
      multiplanarShowRender: 0,
      multiplanarLayout: 2,
      multiplanarPadPixels: 4,
      dragAndDropEnabled: false,
      loadingText: "",
      logLevel: "error",
    });
    this.niivue.opts.fontSizeScaling = 0.5;
    await this.niivue.attachToCanvas(this.canvas);
  }

  /** Cross at the place where the reader looked most. */
  lookAt(slices) {
    const key = slices.find((slice) => slice.key === 0);
    if (!key?.peak || !key.origin_mm || !key.orientation || !key.spacing_mm) return;
    const [down, across] = [key.peak[0] * key.rows * key.spacing_mm[0], key.peak[1] * key.columns * key.spacing_mm[1]];
    const at = key.origin_mm.map((from, axis) => from + key.orientation[axis] * across + key.orientation[3 + axis] * down);
    this.niivue.scene.crosshairPos = this.niivue.mm2frac([-at[0], -at[1], at[2]]); // LPS+ to RAS+
  }

  /** Take off what lies above the first key slice: depth, azimuth, elevation. */
  cut(slices) {
    const key = slices.findIndex((slice) => slice.key === 0);
    return [key < 0 ? 0.1 : (key + 1) / slices.length - 0.5, 0, 90];
  }

  window(view) {
    const volume = this.niivue?.volumes[0];
    if (!volume || view.mode === "slices") return;
    const { centre, width } = this.deep ? RENDER : view;
    volume.cal_min = centre - width / 2;
    volume.cal_max = centre + width / 2;
    this.niivue.updateGLVolume();
  }
}

/** A NIfTI-1 file of the series: slices from below, rows turned over, millimetres in RAS+. */
function nifti(slices, hu) {
  const { rows, columns, spacing_mm } = slices[0];
  const stack = placed(slices.filter((slice) => slice.rows === rows && slice.columns === columns));
  const pixels = rows * columns;
  const buffer = new ArrayBuffer(HEADER_BYTES + 2 * pixels * stack.length);
  const view = new DataView(buffer);
  const [row_mm, column_mm] = spacing_mm || [1, 1];
  const step_mm = stack.step_mm;
  view.setInt32(0, 348, true);
  [3, columns, rows, stack.length, 1, 1, 1, 1].forEach((size, at) => view.setInt16(40 + 2 * at, size, true));
  view.setInt16(70, INT16, true);
  view.setInt16(72, 16, true);
  [1, column_mm, row_mm, step_mm, 1, 1, 1, 1].forEach((size, at) => view.setFloat32(76 + 4 * at, size, true));
  view.setFloat32(108, HEADER_BYTES, true);
  view.setFloat32(112, 1, true);
  view.setInt16(254, 2, true); // sform: aligned to the scanner
  affine(stack, columns, rows, column_mm, row_mm).forEach((number, at) => view.setFloat32(280 + 4 * at, number, true));
  [0x6e, 0x2b, 0x31, 0].forEach((byte, at) => view.setUint8(344 + at, byte));
  const voxels = new Int16Array(buffer, HEADER_BYTES).fill(HU_FLOOR);
  stack.forEach((slice, at) => {
    const values = slice && hu(slice);
    if (!values) return;
    for (let row = 0; row < rows; row += 1) {
      voxels.set(values.subarray(row * columns, (row + 1) * columns), at * pixels + (rows - 1 - row) * columns);
    }
  });
  return buffer;
}

/** Slices at equal distances: where one is missing there is nothing, and it shows. */
function placed(slices) {
  const positions = slices.map((slice) => slice.position_mm);
  if (positions.some((position) => position === null) || slices.length < 2) {
    return Object.assign([...slices], { step_mm: slices[0].thickness_mm || 5 });
  }
  const gaps = positions.slice(1).map((position, at) => position - positions[at]).filter((gap) => gap > 0.1).sort((a, b) => a - b);
  const step_mm = gaps[Math.floor(gaps.length / 2)] || 5;
  const count = Math.round((positions[positions.length - 1] - positions[0]) / step_mm) + 1;
  const stack = new Array(Math.min(count, 4 * slices.length)).fill(null);
  slices.forEach((slice) => { stack[Math.round((slice.position_mm - positions[0]) / step_mm)] ||= slice; });
  return Object.assign(stack, { step_mm });
}

/** From voxel to RAS+ millimetres, three rows of four; DICOM's x and y are turned (PS3.3 C.7.6.2 has LPS+). */
function affine(stack, columns, rows, column_mm, row_mm) {
  const first = stack[0];
  const last = stack[stack.length - 1];
  if (!first?.origin_mm || !last?.origin_mm || !first.orientation) {
    return [-column_mm, 0, 0, (columns * column_mm) / 2, 0, row_mm, 0, (-rows * row_mm) / 2, 0, 0, stack.step_mm, 0];
  }
  const across = first.orientation.slice(0, 3).map((cosine) => cosine * column_mm);
  const down = first.orientation.slice(3, 6).map((cosine) => cosine * row_mm);
  const up = first.origin_mm.map((from, axis) => (last.origin_mm[axis] - from) / Math.max(1, stack.length - 1));
  const sign = [-1, -1, 1];
  return [0, 1, 2].flatMap((axis) => [
    sign[axis] * across[axis],
    -sign[axis] * down[axis], // rows are turned over
    sign[axis] * up[axis],
    sign[axis] * (first.origin_mm[axis] + (rows - 1) * down[axis]),
  ]);
}
