/**
 * Writes names and boxes of objects as Qwen-VL models do, in pixels of the resized image or scaled to 1000.
 * Knows ms-swift's two formats for them, not tokens.
 */
import type { Box } from '../data/messages.ts';
import { SightlineError } from '../errors.ts';
import type { NormBbox } from '../models/architecture.ts';
import { roundHalfEven } from '../models/image_processing.ts';

export interface GroundingOptions {
  /** `legacy`: control tokens and (x,y) pairs; `new`: the plain name, and coordinates in brackets. Default legacy. */
  readonly boxFormat?: BoxFormat | undefined;
  /** `none`: coordinates in pixels of the resized image; `norm1000`: coordinates from 0 to 1000. Default the architecture's. */
  readonly normBbox?: NormBbox | undefined;
}

export const BOX_FORMATS = ['legacy', 'new'] as const;
export type BoxFormat = (typeof BOX_FORMATS)[number];

export type { NormBbox };
export const BOX_NORMS: readonly NormBbox[] = ['none', 'norm1000'];

/** Width and height in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The size of an image as stored, and after resizing for the model. */
export interface ShownSize {
  readonly stored: Size;
  readonly shown: Size;
}

/**
 * An object's name, as text that may contain control tokens.
 *
 * @param name must not contain control tokens itself
 */
export function refText(name: string, { boxFormat = 'legacy' }: GroundingOptions): string {
  return boxFormat === 'legacy' ? `<|object_ref_start|>${name}<|object_ref_end|>` : name;
}

/** A box or a point, as text that may contain control tokens. Rounds halves to even, as Python does. */
export function boxText(
  { corners, unit }: Box,
  { stored, shown }: ShownSize,
  { boxFormat = 'legacy', normBbox }: GroundingOptions & { readonly normBbox: NormBbox },
): string {
  const from = unit === 'pixels' ? stored : { width: 1, height: 1 };
  const to = normBbox === 'none' ? shown : { width: 1000, height: 1000 };
  const scaled = corners.map((value, i) =>
    i % 2 === 0 ? roundHalfEven((value / from.width) * to.width) : roundHalfEven((value / from.height) * to.height),
  );
  if (boxFormat === 'new') return `[${scaled.join(', ')}]`;
  const points: string[] = [];
  for (let i = 0; i < scaled.length; i += 2) points.push(`(${scaled[i]},${scaled[i + 1]})`);
  return `<|box_start|>${points.join(',')}<|box_end|>`;
}

/** The size of the image that a box refers to. Error: E_MESSAGES_INVALID. */
export function sizeFor({ image }: Box, sizes: readonly ShownSize[], where: string | undefined): ShownSize {
  const size = sizes[image];
  if (size !== undefined) return size;
  throw new SightlineError(
    'E_MESSAGES_INVALID',
    `a box refers to image ${image}, but there are only ${sizes.length} images`,
    {
      where,
      hint: 'image_id of "objects" counts images from 0',
    },
  );
}
