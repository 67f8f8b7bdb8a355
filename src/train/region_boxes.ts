/**
 * Reads the boxes of a region from a column of a row, as fractions of the image. Knows columns and units, not tokens.
 */
import type { Corners } from '../attention/spans/region.ts';
import type { RegionSpan } from '../attention/spans/span.ts';
import { parseObjects } from '../data/objects.ts';
import { SightlineError } from '../errors.ts';
import type { RewardImage } from '../rewards/contract.ts';

/**
 * The boxes, or the reason why there are none: a clause that is the same for all rows with this fault.
 *
 * @param value of the column: [x1, y1, x2, y2] in pixels of the stored image, a list of such boxes, or `objects`
 */
export function regionBoxes(
  { region, image }: RegionSpan,
  value: unknown,
  images: readonly Pick<RewardImage, 'size'>[],
): { readonly image: number; readonly boxes: readonly Corners[] } | string {
  if (value === undefined || value === null) return `a row has no "${region}"`;
  if (images.length === 0) return 'the prompt has no image';
  const boxes = isBoxList(value) ? plainBoxes(value, image ?? 0) : objectBoxes(value, images.length);
  if (boxes === null) {
    return `"${region}" of a row holds no boxes: write [x1, y1, x2, y2] in pixels of the stored image, a list of such boxes, or {"bbox": [...]}`;
  }
  if (boxes.length === 0) return `"${region}" of a row has no box`;
  const number = image ?? boxes[0]!.image;
  const size = images[number]?.size.stored;
  if (size === undefined) return `"${region}" of a row names image ${number}, which its prompt has not`;
  const own = boxes.filter((box) => box.image === number);
  if (own.length === 0) return `"${region}" of a row has no box in image ${number}`;
  if (image === undefined && own.length < boxes.length) {
    return `the boxes of "${region}" of a row lie in several images: name one, region('${region}', { image: 0 })`;
  }
  const scaled = own.map(({ corners: [x1, y1, x2, y2], unit }): Corners => {
    const [width, height] = unit === 'pixels' ? [size.width, size.height] : [1, 1];
    return [Math.min(x1, x2) / width, Math.min(y1, y2) / height, Math.max(x1, x2) / width, Math.max(y1, y2) / height];
  });
  if (scaled.some(([x1, y1, x2, y2]) => x1 === x2 || y1 === y2)) return `a box of "${region}" has no area`;
  return { image: number, boxes: scaled };
}

// --- internal ---

interface PlacedBox {
  readonly corners: Corners;
  readonly unit: 'pixels' | 'fractions';
  readonly image: number;
}

const isCorners = (value: unknown): value is Corners =>
  Array.isArray(value) && value.length === 4 && value.every((x) => typeof x === 'number' && Number.isFinite(x));

function isBoxList(value: unknown): value is Corners | readonly Corners[] {
  return Array.isArray(value) && (isCorners(value) || value.every(isCorners));
}

function plainBoxes(value: Corners | readonly Corners[], image: number): PlacedBox[] {
  const boxes = isCorners(value) ? [value] : value;
  return boxes.map((corners) => ({ corners, unit: 'pixels', image }));
}

/** Boxes of the column `objects`; null if it cannot be read or has points. */
function objectBoxes(value: unknown, images: number): PlacedBox[] | null {
  try {
    const { boxes } = parseObjects(value, images, 'the row');
    if (!boxes.every(({ corners }) => isCorners(corners))) return null;
    return boxes.map(({ corners, unit, image }) => ({ corners: corners as unknown as Corners, unit, image }));
  } catch (error) {
    if (error instanceof SightlineError) return null;
    throw error;
  }
}
