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
  const [least, greatest] = [Math.min(...mean), Math.max(...mean)];
  const rgba = [...mean].flatMap((value) => [...viridis((value - least) / (greatest - least || 1)), 255 * OPACITY]);
  return overlaid(source, { rows, columns, rgba: Uint8Array.from(rgba) }, alpha);
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
