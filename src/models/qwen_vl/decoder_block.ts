/**
 * The decoder block of the Qwen-VL models: root-mean-square norm, grouped-query attention with rotary embedding, norm,
 * gated feed-forward layer (transformers: Qwen2_5_VLDecoderLayer, Qwen3VLTextDecoderLayer).
 */
import { reshape } from '../../graph/ops/movement.ts';
import { rmsNorm } from '../../graph/ops/norm.ts';
import { rotary } from '../../graph/ops/rotary.ts';
import type { Value } from '../../graph/value.ts';
import type { DecoderBlock, TextConfig } from '../architecture.ts';
import { QKV } from '../names.ts';

export interface DecoderBlockOptions {
  /** Whether the projections to queries, keys and values have biases. */
  readonly qkvBias: boolean;
  /** Whether each head of queries and keys is normalised before the rotary embedding. */
  readonly qkNorm: boolean;
}

export function decoderBlock(config: TextConfig, { qkvBias, qkNorm }: DecoderBlockOptions): DecoderBlock {
  const { hiddenSize: h, intermediateSize, numAttentionHeads, numKeyValueHeads, headDim, rmsNormEps } = config;
  const [q, kv] = [numAttentionHeads * headDim, numKeyValueHeads * headDim];
  const widths = [q, kv, kv] as const;
  const joint = { name: QKV.name, parts: Object.fromEntries(QKV.parts.map((part, i) => [part, widths[i]!])) };
  const projections = Object.entries(joint.parts).flatMap(([layer, width]): [string, readonly number[]][] => [
    [`${layer}.weight`, [width, h]],
    ...(qkvBias ? [[`${layer}.bias`, [width]] as [string, readonly number[]]] : []),
  ]);
  return {
    before: {
      'input_layernorm.weight': [h],
      ...Object.fromEntries(projections),
      ...(qkNorm ? { 'self_attn.q_norm.weight': [headDim], 'self_attn.k_norm.weight': [headDim] } : {}),
    },
    after: {
      'self_attn.o_proj.weight': [h, q],
      'post_attention_layernorm.weight': [h],
      'mlp.gate_proj.weight': [intermediateSize, h],
      'mlp.up_proj.weight': [intermediateSize, h],
      'mlp.down_proj.weight': [h, intermediateSize],
    },
    joint,
    project(ops, x, { cos, sin }) {
      const normed = rmsNorm(ops.rows(x), ops.param('input_layernorm.weight'), rmsNormEps);
      const [queries, keys, values] = ops.linears(normed, joint) as [Value, Value, Value];
      const perHead = (rows: Value, name: string): Value => {
        if (!qkNorm) return rows;
        const heads = reshape(rows, [...rows.shape.slice(0, -1), Number(rows.shape.at(-1)) / headDim, headDim]);
        return reshape(rmsNorm(heads, ops.param(`self_attn.${name}_norm.weight`), rmsNormEps), rows.shape);
      };
      return {
        q: rotary(perHead(queries, 'q'), cos, sin, numAttentionHeads),
        k: rotary(perHead(keys, 'k'), cos, sin, numKeyValueHeads),
        v: values,
      };
    },
    finish(ops, x, o) {
      const stream = ops.addLinear(x, o, 'self_attn.o_proj');
      const attended = ops.rows(stream);
      const normed = rmsNorm(attended, ops.param('post_attention_layernorm.weight'), rmsNormEps);
      const mlp = ops.addGatedMlp(stream, normed, { gate: 'mlp.gate_proj', up: 'mlp.up_proj', down: 'mlp.down_proj' });
      return { ...mlp, attended };
    },
  };
}
