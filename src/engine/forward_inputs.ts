/**
 * Checks the arguments of a plain forward, and deals its images out to its rows.
 */
import { SightlineError } from '../errors.ts';
import type { ModelConfig } from '../models/architecture.ts';
import type { ModelKwargs } from '../models/types.ts';
import type { HashedImage } from './image_features.ts';
import { hashOf } from './image_hash.ts';

/** The rows of a forward. Error: E_FORWARD_INPUT where they have several lengths, or padding. */
export function unpadded({ input_ids: ids, attention_mask: mask }: ModelKwargs): Int32Array[] {
  const length = ids[0]?.length ?? 0;
  ids.forEach((row, b) => {
    const padded = mask?.[b]?.includes(0) ?? false;
    if (row.length !== length || padded || length === 0) {
      throw new SightlineError(
        'E_FORWARD_INPUT',
        `input_ids row ${b} is ${padded ? 'padded' : `of length ${row.length}`}`,
        {
          hint: `pass rows of one length > 0 (row 0 has ${length}) without padding; call forward once per length`,
        },
      );
    }
  });
  return [...ids];
}

/** The images of each row, by its image pads. Error: E_FORWARD_INPUT where pads and images do not match. */
export function imagesOfSequences(
  kwargs: ModelKwargs,
  sequences: readonly Int32Array[],
  modelConfig: ModelConfig,
): HashedImage[][] {
  const pixels = kwargs.pixel_values ?? [];
  const grids = kwargs.image_grid_thw ?? [];
  if (pixels.length !== grids.length) {
    throw new SightlineError('E_FORWARD_INPUT', `${pixels.length} pixel_values for ${grids.length} image_grid_thw`, {
      hint: 'pass one of each per image',
    });
  }
  const unit = modelConfig.vision.spatialMergeSize ** 2;
  let next = 0;
  const dealt = sequences.map((ids) => {
    let pads = ids.reduce((count, id) => count + (id === modelConfig.imageTokenId ? 1 : 0), 0);
    const images: HashedImage[] = [];
    while (pads > 0 && next < pixels.length) {
      const gridThw = grids[next]!;
      const pixelValues = pixels[next]!;
      pads -= (gridThw[0] * gridThw[1] * gridThw[2]) / unit;
      images.push({ pixelValues, gridThw, hash: hashOf(pixelValues, gridThw) });
      next++;
    }
    return { images, pads };
  });
  if (next !== pixels.length || dealt.some(({ pads }) => pads !== 0)) {
    throw new SightlineError(
      'E_FORWARD_INPUT',
      `the image pads in input_ids do not match the ${pixels.length} images given`,
      {
        hint: `each image takes t * h * w / ${unit} image pads`,
      },
    );
  }
  return dealt.map(({ images }) => images);
}
