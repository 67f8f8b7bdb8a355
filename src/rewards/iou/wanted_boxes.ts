/**
 * Converts the boxes of the column `objects` from pixels of the stored image to the coordinates that the model writes: pixels of
 * the resized image, or thousandths of its sides.
 */
import type { Box } from '../../data/messages.ts';
import { parseObjects } from '../../data/objects.ts';
import { SightlineError } from '../../errors.ts';
import type { NormBbox } from '../../models/architecture.ts';
import type { RewardImage } from '../contract.ts';
import { areaOf, type Corners } from './overlap.ts';

/** The reason why a row cannot be judged. */
export interface Unusable {
  /** A clause that is the same for all rows with this fault. */
  readonly reason: string;
  /** The fault of this row. */
  readonly example?: string;
}

export interface RowWithBoxes {
  /** The column `objects`. */
  readonly objects: unknown;
  /** Number of boxes in the prompt (`<bbox>`). They are the first ones of the column, and part of the question. */
  readonly boxesInPrompt: number;
  readonly images: readonly Pick<RewardImage, 'size'>[];
  readonly normBbox: NormBbox;
}

/** The boxes that the answer should have, scaled but not rounded, or the reason why there are none. */
export function wantedBoxes({ objects, boxesInPrompt, images, normBbox }: RowWithBoxes): readonly Corners[] | Unusable {
  let boxes: readonly Box[];
  try {
    boxes = parseObjects(objects, images.length, 'the row').boxes;
  } catch (error) {
    if (!(error instanceof SightlineError)) throw error;
    return { reason: 'the column "objects" of a row cannot be read', example: error.message };
  }
  const wanted = boxes.slice(boxesInPrompt);
  if (boxes.length === 0) return { reason: '"objects" of a row has no box' };
  if (wanted.length === 0) return { reason: 'all boxes of a row stand in its prompt, so none is left to be found' };
  if (wanted.some(({ corners }) => corners.length !== 4)) {
    return { reason: '"objects" of a row has a point, which has no area', example: JSON.stringify(wanted[0]!.corners) };
  }
  const number = wanted[0]!.image;
  if (wanted.some(({ image }) => image !== number)) {
    return { reason: 'the boxes of a row lie in several images, and a completion does not say which one it means' };
  }
  const image = images[number];
  if (image === undefined) return { reason: 'a row has boxes but no image' };
  const scaled = wanted.map((box) => scaledBox(box, image, normBbox));
  const flat = scaled.findIndex((box) => areaOf(box) === 0);
  if (flat < 0) return scaled;
  return { reason: 'a box in "objects" has no area', example: JSON.stringify(wanted[flat]!.corners) };
}

// --- internal ---

/** Scales a box like `boxText` in src/template/grounding.ts, without rounding. */
function scaledBox({ corners, unit }: Box, { size }: Pick<RewardImage, 'size'>, normBbox: NormBbox): Corners {
  const from = unit === 'pixels' ? size.stored : { width: 1, height: 1 };
  const to = normBbox === 'none' ? size.shown : { width: 1000, height: 1000 };
  const [x1, y1, x2, y2] = corners as unknown as Corners;
  const [x, y] = [to.width / from.width, to.height / from.height];
  return [x1 * x, y1 * y, x2 * x, y2 * y];
}
