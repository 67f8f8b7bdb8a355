/**
 * Where an answer looks: the attention of each of its tokens on each visual token of the images before it.
 */
import { type AttentionTensor, TDR_LAYERS } from './tdr.ts';

/**
 * Attention on the columns of one image, mean over heads and over the last layers (those that the text-dominance ratio reads).
 * A row sums up to the share of its attention that the image gets.
 *
 * @param attentions one tensor (1, H, S, S) per layer
 * @param columns positions of the image's tokens
 * @param firstRow position of the first token of the answer
 * @param rows tokens of the answer
 * @returns [rows, columns]
 */
export function imageAttention(
  attentions: readonly AttentionTensor[],
  columns: ArrayLike<number>,
  firstRow: number,
  rows: number,
): Float32Array {
  const layers = attentions.slice(-TDR_LAYERS);
  const sums = new Float64Array(rows * columns.length);
  for (const { data, dims } of layers) {
    const [, heads, length] = dims;
    for (let head = 0; head < heads; head++) {
      for (let row = 0; row < rows; row++) {
        const start = (head * length + firstRow + row) * length;
        for (let k = 0; k < columns.length; k++) sums[row * columns.length + k]! += data[start + columns[k]!]!;
      }
    }
  }
  const count = layers.reduce((sum, { dims }) => sum + dims[1], 0);
  return Float32Array.from(sums, (sum) => sum / count);
}
