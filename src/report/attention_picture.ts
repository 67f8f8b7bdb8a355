/**
 * An image beside itself under the attention of an answer, as a PNG.
 */
import type { ImageSource } from '../data/image_source.ts';
import { overlaid } from '../data/overlay.ts';
import type { AlphaMode } from '../data/rgb.ts';
import type { ImageAttention } from '../train/answer_attention.ts';
import { viridis } from '../util/viridis.ts';

const OPACITY = 0.6;

/** The mean over the answer's tokens, coloured from its least to its greatest value. Errors: those of the image. */
export async function attentionPicture(
  source: ImageSource,
  attention: ImageAttention,
  alpha: AlphaMode,
): Promise<Buffer> {
  const { rows, columns } = attention;
  const mean = meanAttention(attention);
  return overlaid(source, { rows, columns, rgba: heatColours(mean) }, alpha);
}

/** Colours from the least to the greatest value; a value that is unknown is transparent. [values * 4] */
export function heatColours(values: Float32Array): Uint8Array {
  let [least, greatest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value < least) least = value;
    if (value > greatest) greatest = value;
  }
  const rgba = new Uint8Array(4 * values.length);
  for (const [i, value] of values.entries()) {
    if (!Number.isNaN(value)) rgba.set([...viridis((value - least) / (greatest - least || 1)), 255 * OPACITY], 4 * i);
  }
  return rgba;
}

// --- internal ---

/** [rows * columns] */
function meanAttention({ rows, columns, values }: ImageAttention): Float32Array {
  const cells = rows * columns;
  const tokens = Math.max(1, values.length / cells);
  const mean = new Float32Array(cells);
  for (const [i, value] of values.entries()) mean[i % cells]! += value / tokens;
  return mean;
}
