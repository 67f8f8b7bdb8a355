/**
 * A run of decoder layers as one module for one token of every completion: the whole step, or a part of it, is one call
 * of the runtime. Keys and values of the step go into the cache on the way; the last run draws the next token.
 */
import type { Constant, Module } from '../../graph/module.ts';
import { putSlices } from '../../graph/ops/gather.ts';
import { reshape, slice } from '../../graph/ops/movement.ts';
import { rmsNorm } from '../../graph/ops/norm.ts';
import { rotary } from '../../graph/ops/rotary.ts';
import type { Shape } from '../../graph/shape.ts';
import type { Value } from '../../graph/value.ts';
import { decodeAttention } from '../../nn/decode_attention.ts';
import { linear, linearFewRows } from '../../nn/linear.ts';
import type { TextConfig } from './config.ts';
import { type SamplingHead, samplingHead } from './sampling.ts';
import { attentionOutput } from './text.ts';

export interface DecodeLayersOptions {
  readonly count: number;
  /** Written for few rows: weights are streamed from the left. */
  readonly fewRows: boolean;
  /** Layers, from 0 in this run, whose attention masses are measured on so many spans. */
  readonly probed: readonly number[];
  readonly spans: number;
  /** Return results of products for backward, too. */
  readonly products: boolean;
  /** Draw a token from the last layer's rows. */
  readonly sampling: SamplingHead | null;
}

/**
 * Everything goes by place, rows of places where no completion stands included.
 * x [G*R, hidden] -> y [G*R, hidden], and of each layer i: `k.i`, `v.i` [G, kvHeads, R, T, d], the cache's own tokens with
 * this one put in at `slots` int32 [G*R*kvHeads, 4]; `x.i` [G*R, hidden] (its input; from layer 1), `o.i`
 * [G*R, heads * d], `masses.i` [G*R, spans] of a probed one, and with products all rows of a `LayerProducts`, as
 * `products.i.q` and so on. With sampling, what the sampling head returns. cos, sin [G*R, d / 2]; unseen [G, P + T].
 */
export function decodeLayers(
  config: TextConfig,
  { count, fewRows, probed, spans, products, sampling }: DecodeLayersOptions,
): Module {
  const { hiddenSize, numAttentionHeads, numKeyValueHeads: kvHeads, headDim, rmsNormEps } = config;
  const heads = { heads: numAttentionHeads, kvHeads, headDim };
  const [queryWidth, keyWidth] = [numAttentionHeads * headDim, kvHeads * headDim];
  const before: Record<string, Shape> = {
    'input_layernorm.weight': [hiddenSize],
    'self_attn.qkv_proj.weight': [queryWidth + 2 * keyWidth, hiddenSize],
    'self_attn.qkv_proj.bias': [queryWidth + 2 * keyWidth],
  };
  const after = attentionOutput(config, fewRows);
  const project = fewRows ? linearFewRows : linear;
  const head = sampling === null ? null : samplingHead(config, sampling, project, 'G*R');
  const params: Record<string, Shape> = { ...head?.params };
  const constants: Record<string, Constant> = {
    cos: { shape: ['G*R', headDim / 2] },
    sin: { shape: ['G*R', headDim / 2] },
    slots: { shape: [`${kvHeads}*G*R`, 4], dtype: 'int32' },
    unseen: { shape: ['G', 'P+T'] },
    ...(probed.length === 0 ? {} : { indicator: { shape: ['G', 'P', spans] } }),
    ...head?.constants,
  };
  for (let layer = 0; layer < count; layer++) {
    for (const [name, shape] of Object.entries({ ...before, ...after.params })) params[`${layer}.${name}`] = shape;
    for (const name of ['kPrompt', 'vPrompt']) constants[`${name}.${layer}`] = { shape: ['G', kvHeads, 'P', headDim] };
    for (const name of ['kOwn', 'vOwn']) constants[`${name}.${layer}`] = { shape: ['G', kvHeads, 'R', 'T', headDim] };
  }
  return {
    name: `${count} decode layers`,
    params,
    inputs: { x: ['G*R', hiddenSize] },
    constants,
    build: (w): Record<string, Value> => {
      const outputs: Record<string, Value> = {};
      let x = w.x!;
      for (let layer = 0; layer < count; layer++) {
        const param = (name: string): Value => w[`${layer}.${name}`]!;
        const put = (cache: string, rows: Value): Value =>
          putSlices(w[`${cache}.${layer}`]!, w.slots!, reshape(rows, [`${kvHeads}*G*R`, headDim]));

        const normed = rmsNorm(x, param('input_layernorm.weight'), rmsNormEps);
        const qkv = project(normed, param('self_attn.qkv_proj.weight'), param('self_attn.qkv_proj.bias'));
        const turned = rotary(slice(qkv, 1, 0, queryWidth + keyWidth), w.cos!, w.sin!, numAttentionHeads + kvHeads);
        const q = slice(turned, 1, 0, queryWidth);
        const k = slice(turned, 1, queryWidth, queryWidth + keyWidth);
        const v = slice(qkv, 1, queryWidth + keyWidth, queryWidth + 2 * keyWidth);
        const [kOwn, vOwn] = [put('kOwn', k), put('vOwn', v)];
        const { out: o, masses } = decodeAttention(
          {
            q,
            kPrompt: w[`kPrompt.${layer}`]!,
            vPrompt: w[`vPrompt.${layer}`]!,
            kOwn,
            vOwn,
            unseen: w.unseen!,
            indicator: probed.includes(layer) ? w.indicator : undefined,
          },
          heads,
        );
        if (layer > 0) outputs[`x.${layer}`] = x;
        Object.assign(outputs, { [`k.${layer}`]: kOwn, [`v.${layer}`]: vOwn, [`o.${layer}`]: o });
        if (masses !== null) outputs[`masses.${layer}`] = masses;
        const params = Object.fromEntries(Object.keys(after.params).map((name) => [name, param(name)]));
        const { y, ...kept } = after.build({ ...params, x, o });
        if (products)
          for (const [name, value] of Object.entries({ q, k, v, ...kept }))
            outputs[`products.${layer}.${name}`] = value;
        x = y!;
      }
      return { ...outputs, y: x, ...head?.build({ ...w, hidden: x }) };
    },
  };
}
