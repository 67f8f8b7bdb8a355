/**
 * Parses the `objects` column: the names and boxes that a row's placeholders stand for.
 * Knows ms-swift's form of it, not how a model writes a box.
 */

import { isJsonObject } from '../util/json.ts';
import { plural } from '../util/plural.ts';
import { invalidRow, inWords, listOf } from './columns.ts';
import type { Box } from './messages.ts';

export interface Objects {
  readonly refs: readonly string[];
  readonly boxes: readonly Box[];
  /** The column as rewards get it: corners sorted, coordinates not scaled. */
  readonly column: Readonly<Record<string, unknown>>;
}

/**
 * Reads `{ref, bbox, bbox_type, image_id}`, each optional. Swaps corners that are in the wrong order, as ms-swift does.
 *
 * @param images number of images of the row
 * Error: E_DATASET_ROW.
 */
export function parseObjects(value: unknown, images: number, where: string): Objects {
  if (!isJsonObject(value)) throw invalidRow(`"objects" is ${inWords(value)}, expected an object`, where, HINT);
  const unit = UNITS.get(value.bbox_type ?? 'real');
  if (unit === undefined) {
    throw invalidRow(`"bbox_type" of "objects" is ${inWords(value.bbox_type)}, expected real or norm1`, where, HINT);
  }
  const refs = listOf(value.ref).map((ref, i) => {
    if (typeof ref === 'string') return ref;
    throw invalidRow(`entry ${i + 1} of "ref" of "objects" is ${inWords(ref)}, expected a text`, where, HINT);
  });
  const corners = boxList(value.bbox, where).map((box, i) => cornersOf(box, i + 1, where));
  const ids = listOf(value.image_id);
  const boxes = corners.map((box, i): Box => ({ corners: box, unit, image: imageOf(ids[i], i + 1, images, where) }));
  return {
    refs,
    boxes,
    column: { ...value, ...(Object.hasOwn(value, 'bbox') ? { bbox: corners } : {}) },
  };
}

// --- internal ---

const UNITS: ReadonlyMap<unknown, Box['unit']> = new Map([
  ['real', 'pixels'],
  ['norm1', 'fractions'],
]);

const HINT =
  'objects look like {"ref": ["dog"], "bbox": [[10, 20, 110, 220]]}, in pixels or, with "bbox_type": "norm1", in fractions';

function boxList(value: unknown, where: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw invalidRow(`"bbox" of "objects" is ${inWords(value)}, expected a list of boxes`, where, HINT);
}

function cornersOf(box: unknown, number: number, where: string): readonly number[] {
  const isBox =
    Array.isArray(box) &&
    (box.length === 2 || box.length === 4) &&
    box.every((x) => typeof x === 'number' && Number.isFinite(x));
  if (!isBox) {
    throw invalidRow(
      `box ${number} of "objects" is ${inWords(box)}, expected two or four numbers: [x, y] or [x1, y1, x2, y2]`,
      where,
      HINT,
    );
  }
  if (box.length === 2) return box;
  const [x1, y1, x2, y2] = box as [number, number, number, number];
  return [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
}

/** The index of the image that a box refers to; 0 without an `image_id`. */
function imageOf(id: unknown, number: number, images: number, where: string): number {
  if (id === undefined || id === null) return 0;
  if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && (id < images || images === 0)) return id;
  throw invalidRow(
    `"image_id" of box ${number} is ${inWords(id)}, but the row has ${plural(images, 'image')}, counted from 0`,
    where,
    HINT,
  );
}
