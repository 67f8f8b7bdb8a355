/**
 * Which columns of a prompt are system block, picture and text: the spans that attention is summed over.
 * Knows token ids, not attention and not images.
 */
import type { Qwen2_5_VLConfig } from '../models/qwen2_5_vl/config.ts';

export interface PromptSpans {
  /** Columns of the system block: [0, systemPrefix). They count neither as visual nor as text. */
  readonly systemPrefix: number;
  /** Columns of image and video pads, ascending. */
  readonly visual: Int32Array;
  /** For each entry of `visual`, which image it belongs to (0 is the first; runs of pads are counted). */
  readonly imageOf: Int32Array;
  /** Every other column from the system prefix on, ascending: words, roles, vision marks. */
  readonly text: Int32Array;
}

/**
 * @param ids prompt ids, pads expanded
 * @param systemPrefix tokens of the system block
 */
export function promptSpans(
  ids: Int32Array,
  systemPrefix: number,
  { imageTokenId, videoTokenId }: Pick<Qwen2_5_VLConfig, 'imageTokenId' | 'videoTokenId'>,
): PromptSpans {
  const visual: number[] = [];
  const imageOf: number[] = [];
  const text: number[] = [];
  let runs = 0;
  for (let column = systemPrefix; column < ids.length; column++) {
    const id = ids[column]!;
    if (id !== imageTokenId && id !== videoTokenId) {
      text.push(column);
      continue;
    }
    if (column === systemPrefix || ids[column - 1] !== id) runs++;
    visual.push(column);
    imageOf.push(runs - 1);
  }
  return {
    systemPrefix,
    visual: Int32Array.from(visual),
    imageOf: Int32Array.from(imageOf),
    text: Int32Array.from(text),
  };
}
