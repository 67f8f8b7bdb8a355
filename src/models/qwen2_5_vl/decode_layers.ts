/**
 * A run of decoder layers as one module for one token of every live completion: the whole step, or a part of it, is
 * one call of the runtime. Keys and values of the step come out of it; whoever keeps the cache puts them there.
 */
import type { Constant, Module } from '../../graph/module.ts';
import { permuteRows } from '../../graph/ops/gather.ts';
import { slice } from '../../graph/ops/movement.ts';
import { rmsNorm } from '../../graph/ops/norm.ts';
import { rotary } from '../../graph/ops/rotary.ts';
import type { Shape } from '../../graph/shape.ts';
import type { Value } from '../../graph/value.ts';
import { decodeAttention } from '../../nn/decode_attention.ts';
import { linear, linearFewRows } from '../../nn/linear.ts';
import type { TextConfig } from './config.ts';
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
}

/**
 * x [N, hidden] of the live rows -> y [N, hidden], and of each layer i: `k.i`, `v.i` [G*R, kvHeads * d] by place,
 * `x.i` [N, hidden] (its input; from layer 1), `o.i` [N, heads * d], `masses.i` [N, spans] of a probed one, and with
 * products all rows of a `LayerProducts`, as `products.i.q` and so on.
 * cos, sin [G*R, d / 2] by place; place int32 [G*R] says which live row stands at a place (any, if none), row int32 [N]
 * where a live row stands.
 */
export function decodeLayers(
  config: TextConfig,
  { count, fewRows, probed, spans, products }: DecodeLayersOptions,
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
  const params: Record<string, Shape> = {};
  const constants: Record<string, Constant> = {
    cos: { shape: ['G*R', headDim / 2] },
    sin: { shape: ['G*R', headDim / 2] },
    place: { shape: ['G*R'], dtype: 'int32' },
    row: { shape: ['N'], dtype: 'int32' },
    unseenPrompt: { shape: ['G', 'P'] },
    unseenOwn: { shape: ['T'] },
    ...(probed.length === 0 ? {} : { indicator: { shape: ['G', 'P', spans] } }),
  };
  for (let layer = 0; layer < count; layer++) {
    for (const [name, shape] of Object.entries({ ...before, ...after.params })) params[`${layer}.${name}`] = shape;
    for (const name of ['kPrompt', 'vPrompt']) constants[`${name}.${layer}`] = { shape: ['G', kvHeads, 'P', headDim] };
    for (const name of ['kOwn', 'vOwn']) constants[`${name}.${layer}`] = { shape: ['G', kvHeads, 'R', 'T', headDim] };
  }
  return {
    name: `${count} decode layers`,
    params,
    inputs: { x: ['N', hiddenSize] },
    constants,
    build: (w): Record<string, Value> => {
      const outputs: Record<string, Value> = {};
      let x = w.x!;
      for (let layer = 0; layer < count; layer++) {
        const toPlaces = (rows: Value): Value => permuteRows(rows, w.place!, w.row!);
        const toRows = (places: Value): Value => permuteRows(places, w.row!, w.place!);
        const param = (name: string): Value => w[`${layer}.${name}`]!;

        const normed = rmsNorm(x, param('input_layernorm.weight'), rmsNormEps);
        const project = fewRows ? linearFewRows : linear;
        const qkv = toPlaces(project(normed, param('self_attn.qkv_proj.weight'), param('self_attn.qkv_proj.bias')));
        const turned = rotary(slice(qkv, 1, 0, queryWidth + keyWidth), w.cos!, w.sin!, numAttentionHeads + kvHeads);
        const q = slice(turned, 1, 0, queryWidth);
        const k = slice(turned, 1, queryWidth, queryWidth + keyWidth);
        const v = slice(qkv, 1, queryWidth + keyWidth, queryWidth + 2 * keyWidth);
        const { out, masses } = decodeAttention(
          {
            q,
            k,
            v,
            kPrompt: w[`kPrompt.${layer}`]!,
            vPrompt: w[`vPrompt.${layer}`]!,
            kOwn: w[`kOwn.${layer}`]!,
            vOwn: w[`vOwn.${layer}`]!,
            unseenPrompt: w.unseenPrompt!,
            unseenOwn: w.unseenOwn!,
            indicator: probed.includes(layer) ? w.indicator : undefined,
          },
          heads,
        );
        const o = toRows(out);
        if (layer > 0) outputs[`x.${layer}`] = x;
        Object.assign(outputs, { [`k.${layer}`]: k, [`v.${layer}`]: v, [`o.${layer}`]: o });
        if (masses !== null) outputs[`masses.${layer}`] = toRows(masses);
        const params = Object.fromEntries(Object.keys(after.params).map((name) => [name, param(name)]));
        const { y, ...kept } = after.build({ ...params, x, o });
        if (products) {
          const rows = { q: toRows(q), k: toRows(k), v: toRows(v), ...kept };
          for (const [name, value] of Object.entries(rows)) outputs[`products.${layer}.${name}`] = value;
        }
        x = y!;
      }
      return { ...outputs, y: x };
    },
  };
}
