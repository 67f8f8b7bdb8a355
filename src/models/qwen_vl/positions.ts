/**
 * Multimodal rotary positions: the position of each token in time, height and width.
 * Knows token ids and grids, neither pixels nor the rotation itself.
 */
import { SightlineError } from '../../errors.ts';
import type { Grid, ModelConfig, PromptPositions, VisionConfig } from '../architecture.ts';

/** The part of the config that positions depend on. */
export interface PositionConfig extends Pick<ModelConfig, 'imageTokenId' | 'videoTokenId'> {
  readonly vision: Pick<VisionConfig, 'spatialMergeSize'>;
}

/**
 * Positions of a whole sequence (transformers' `get_rope_index`). Text advances all three axes together. The tokens of an
 * image share one time step and count rows and columns from the position where the image starts. The text after it
 * continues after the largest position used.
 *
 * @param ids prompt, or prompt and completion, with image pads expanded
 * @param grids one per image, in order, in patches
 * @returns positions [3, S], row-major (time, height, width); delta: token S + n has position S + n + delta
 * Errors: E_VIDEO_UNSUPPORTED for video pads; E_IMAGE_TOKENS if pads and grids do not match.
 */
export function ropeIndex(ids: Int32Array, grids: readonly Grid[], config: PositionConfig): PromptPositions {
  const length = ids.length;
  const positions = new Int32Array(3 * length);
  let next = 0; // position of the next text token
  let image = 0;
  for (let at = 0; at < length; ) {
    if (ids[at] === config.videoTokenId) throw videoUnsupported(at);
    if (ids[at] !== config.imageTokenId) {
      for (let axis = 0; axis < 3; axis++) positions[axis * length + at] = next;
      next++;
      at++;
      continue;
    }
    const grid = grids[image];
    if (grid === undefined) throw mismatch(`image pad at token ${at}, but only ${grids.length} images are given`);
    const [t, h, w] = mergedGrid(grid, config.vision.spatialMergeSize);
    for (let i = 0; i < t * h * w; i++) {
      if (ids[at + i] !== config.imageTokenId) {
        throw mismatch(`image ${image + 1} takes ${t * h * w} pads, only ${i} are there (from token ${at})`);
      }
      positions[at + i] = next + Math.floor(i / (h * w));
      positions[length + at + i] = next + (Math.floor(i / w) % h);
      positions[2 * length + at + i] = next + (i % w);
    }
    at += t * h * w;
    next += Math.max(t, h, w);
    image++;
  }
  if (image < grids.length) throw mismatch(`${grids.length} images are given, but there are pads for ${image}`);
  return { positions, delta: next - length };
}

// --- internal ---

function mergedGrid([t, h, w]: Grid, merge: number): Grid {
  if (t !== 1) throw mismatch(`an image's grid has ${t} time steps, expected 1; videos are not supported`);
  if (h % merge !== 0 || w % merge !== 0)
    throw mismatch(`grid ${h} x ${w} is not a multiple of the merge size ${merge}`);
  return [t, h / merge, w / merge];
}

function mismatch(message: string): SightlineError {
  return new SightlineError('E_IMAGE_TOKENS', message, {
    hint: 'image pads must come from the template only; a completion that contains one is not an image',
  });
}

function videoUnsupported(at: number): SightlineError {
  return new SightlineError('E_VIDEO_UNSUPPORTED', `video pad at token ${at}; videos are not supported`, {
    hint: 'give frames as images',
  });
}
