/**
 * Rotary position embedding (Su et al. 2021), the "rotate half" form, with an angle table per row.
 */
import { mulDims, sameShape, showShape } from '../shape.ts';
import type { Value } from '../value.ts';
import { makeNode, requireFloat } from './define.ts';
import { neg } from './elementwise.ts';

/**
 * Turns each head's pairs (x_i, x_{i + d/2}) by the row's angles.
 *
 * @param x [n, heads * d], heads side by side; or [1, n, heads * d]
 * @param cos, sin [n, d / 2]
 */
export function rotary(x: Value, cos: Value, sin: Value, heads: number): Value {
  requireFloat('rotary', x, cos, sin);
  const batched = x.shape.length === 3 && x.shape[0] === 1;
  const [n, width] = batched ? x.shape.slice(1) : x.shape;
  const [angles, half] = cos.shape;
  if (
    !(batched || x.shape.length === 2) ||
    cos.shape.length !== 2 ||
    !sameShape(cos.shape, sin.shape) ||
    angles !== n
  ) {
    throw new Error(
      `rotary: expected rows and their angles, got ${[x, cos, sin].map(({ shape }) => showShape(shape)).join(', ')}`,
    );
  }
  if (mulDims(2 * heads, half!) !== width) {
    throw new Error(`rotary: ${heads} heads of twice ${half} do not make rows of ${width}`);
  }
  return makeNode({
    op: 'rotary',
    inputs: [x, cos, sin],
    shape: x.shape,
    emit: (emitter, [rows, cosName, sinName]) => {
      // ONNX Runtime's kernel looks angles up by position id; row i's own angles are row i of the table.
      const start = emitter.constant('int64', [1], [0]);
      const turn = (batch: string): string =>
        emitter.node('RotaryEmbedding', [batch, start, cosName!, sinName!], { num_heads: heads }, 'com.microsoft');
      if (batched) return turn(rows!);
      const axes = emitter.constant('int64', [1], [0]);
      return emitter.node('Squeeze', [turn(emitter.node('Unsqueeze', [rows!, axes])), axes]);
    },
    // A turn is orthogonal: its transpose turns back.
    vjp: (dy) => [() => rotary(dy, cos, neg(sin), heads), null, null],
  });
}
