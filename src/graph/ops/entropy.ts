/**
 * Entropies of rows of logits.
 */
import { type Dim, showShape } from '../shape.ts';
import type { Value } from '../value.ts';
import { makeNode } from './define.ts';
import { add, exp, mul, neg } from './elementwise.ts';
import { matmul } from './matmul.ts';
import { reshape } from './movement.ts';
import { logSoftmax } from './reduce.ts';

/**
 * Entropy of the softmax of each row, in nats: x [n, v] -> -Σ p log p [n, 1]. The gradient is -p (log p + entropy) dy: three
 * passes after the log-softmax.
 *
 * @param logs the log-softmax of x, if the caller needs it elsewhere too
 */
export function softmaxEntropy(x: Value, logs: Value = logSoftmax(x)): Value {
  if (x.shape.length !== 2) throw new Error(`softmaxEntropy: expected rows of logits, got ${showShape(x.shape)}`);
  const [rows, columns] = x.shape as [Dim, Dim];
  const asRows = (values: Value): Value => reshape(values, [rows, 1, columns]);
  // As a product of two rows, the sum needs no memory for its summands.
  const entropy = neg(reshape(matmul(asRows(exp(logs)), asRows(logs), { transB: true }), [rows, 1]));
  return makeNode({
    op: 'softmaxEntropy',
    inputs: [entropy, x],
    shape: entropy.shape,
    emit: (_, [name]) => name!,
    vjp: (dy) => [null, () => mul(mul(exp(logs), add(logs, entropy)), neg(dy))],
  });
}
