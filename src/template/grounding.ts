/**
 * Names and boxes of objects as Qwen-VL models write them, in the pixels of the image that the model sees.
 * Knows ms-swift's two forms of them; no tokens.
 */
import type { Box } from '../data/messages.ts';
import { SightlineError } from '../errors.ts';
import type { NormBbox } from '../models/architecture.ts';
import { roundHalfEven } from '../models/image_processing.ts';

export interface GroundingOptions {
  /** `legacy`: control tokens and (x,y) pairs; `new`: a bare name, and a list in brackets. Default legacy. */
  readonly boxFormat?: BoxFormat | undefined;
  /** What boxes are scaled to: `none`, the resized image; `norm1000`, a square of 1000. Default the architecture's. */
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

/** An image as it is stored, and as the model sees it. */
export interface ShownSize {
  readonly stored: Size;
  readonly shown: Size;
}

/** A name, as text in which control tokens count. @param name without control tokens of its own */
export function refText(name: string, { boxFormat = 'legacy' }: GroundingOptions): string {
  return boxFormat === 'legacy' ? `<|object_ref_start|>${name}<|object_ref_end|>` : name;
}

/** A box or a point, as text in which control tokens count. Rounds halves to even, as Python does. */
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

/** The size of the image that a box lies in. Error: E_MESSAGES_INVALID. */
export function sizeFor({ image }: Box, sizes: readonly ShownSize[], where: string | undefined): ShownSize {
  const size = sizes[image];
  if (size !== undefined) return size;
  throw new SightlineError('E_MESSAGES_INVALID', `a box lies in image ${image}, but there are ${sizes.length}`, {
    where,
    hint: 'image_id of "objects" counts images from 0',
  });
}
