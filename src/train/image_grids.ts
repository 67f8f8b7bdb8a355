/**
 * How the visual tokens of images are arranged.
 */
import type { ModelConfig } from '../models/architecture.ts';
import type { EncodedPrompt } from '../template/template.ts';

/** Rows and columns of visual tokens of each image; frames stand below one another. */
export function gridsOf(
  { images }: Pick<EncodedPrompt, 'images'>,
  { vision }: Pick<ModelConfig, 'vision'>,
): (readonly [rows: number, columns: number])[] {
  const merge = vision.spatialMergeSize;
  return images.map(({ gridThw: [frames, height, width] }) => [(frames * height) / merge, width / merge]);
}
