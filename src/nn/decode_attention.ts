/**
 * Attention of one decode step: a query per live completion against its prompt's cache, shared by the group, and its own.
 */
import type { Module } from '../graph/module.ts';
import { add } from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { concat, reshape, slice, transpose } from '../graph/ops/movement.ts';
import { mean, softmax } from '../graph/ops/reduce.ts';
import { mulDims } from '../graph/shape.ts';
import type { Value } from '../graph/value.ts';
import type { Heads } from './attention.ts';

/**
 * q [R, heads * d]; kPrompt, vPrompt [kvHeads, P, d]; kOwn, vOwn [R, kvHeads, T, d]; unseen [T]: 0, or -inf for places
 * of the cache that are not filled yet -> out [R, heads * d], and with `spans` masses [R, spans] on spans of prompt
 * columns (indicator [P, spans]), mean over heads.
 */
export function decodeAttention({ heads, kvHeads, headDim }: Heads, spans = 0): Module {
  const repeat = heads / kvHeads;
  return {
    name: 'decode attention',
    params: {},
    inputs: {
      q: ['R', heads * headDim],
      kPrompt: [kvHeads, 'P', headDim],
      vPrompt: [kvHeads, 'P', headDim],
      kOwn: ['R', kvHeads, 'T', headDim],
      vOwn: ['R', kvHeads, 'T', headDim],
    },
    constants: { unseen: { shape: ['T'] }, ...(spans === 0 ? {} : { indicator: { shape: ['P', spans] } }) },
    build: (x): Record<string, Value> => {
      const alpha = 1 / Math.sqrt(headDim);
      const q = reshape(x.q!, ['R', kvHeads, repeat, headDim]);
      // All rows of the group against one copy of the prompt's keys: [KV, R * repeat, P].
      const byHead = reshape(transpose(q, [1, 0, 2, 3]), [kvHeads, mulDims(repeat, 'R'), headDim]);
      const onPrompt = transpose(
        reshape(matmul(byHead, x.kPrompt!, { transB: true, alpha }), [kvHeads, 'R', repeat, 'P']),
        [1, 0, 2, 3],
      );
      const onOwn = add(matmul(q, x.kOwn!, { transB: true, alpha }), x.unseen!); // [R, KV, repeat, T]
      const weights = softmax(concat([onPrompt, onOwn], -1));
      const promptWeights = slice(weights, -1, 0, 'P');
      const fromPrompt = transpose(
        reshape(
          matmul(reshape(transpose(promptWeights, [1, 0, 2, 3]), [kvHeads, mulDims(repeat, 'R'), 'P']), x.vPrompt!),
          [kvHeads, 'R', repeat, headDim],
        ),
        [1, 0, 2, 3],
      );
      const fromOwn = matmul(slice(weights, -1, 'P', 'P+T'), x.vOwn!);
      const out = reshape(add(fromPrompt, fromOwn), ['R', heads * headDim]);
      if (x.indicator === undefined) return { out };
      const perHead = matmul(reshape(promptWeights, ['R', heads, 'P']), reshape(x.indicator, [1, 'P', spans]));
      return { out, masses: mean(perHead, [1]) };
    },
  };
}
