/**
 * The blocks and mergers of the Qwen-VL vision towers as symbolic modules. The towers differ in their norm, their
 * feed-forward layer and the names of their mergers' tensors.
 * Knows rows of patches; their order and rotary angles come from outside.
 */
import type { Module } from '../../graph/module.ts';
import { add, gelu } from '../../graph/ops/elementwise.ts';
import { reshape, slice } from '../../graph/ops/movement.ts';
import { layerNorm, rmsNorm } from '../../graph/ops/norm.ts';
import { rotary } from '../../graph/ops/rotary.ts';
import type { Shape } from '../../graph/shape.ts';
import type { Value } from '../../graph/value.ts';
import { layerOf } from '../../nn/adapter.ts';
import { linear } from '../../nn/linear.ts';
import { gatedMlp } from '../../nn/mlp.ts';
import type { VisionConfig } from '../architecture.ts';

type Weights = Readonly<Record<string, Value>>;

/** A kind of norm; `name` is the prefix of its tensors. */
export interface Norm {
  params(name: string, width: number): Record<string, Shape>;
  apply(w: Weights, name: string, x: Value): Value;
}

/** A kind of feed-forward layer, x [N, hidden] -> [N, hidden]. */
export interface FeedForward {
  params(config: VisionConfig): Record<string, Shape>;
  apply(w: Weights, x: Value): Value;
}

/** Epsilon of the norms; a constant in the vision towers, not in the config. */
const EPSILON = 1e-6;
/** Number of patches. */
const N = 'N';

/** Root-mean-square norm. */
export const rms: Norm = {
  params: (name, width) => ({ [`${name}.weight`]: [width] }),
  apply: (w, name, x) => rmsNorm(x, w[`${name}.weight`]!, EPSILON),
};

/** Layer norm. */
export const layer: Norm = {
  params: (name, width) => ({ [`${name}.weight`]: [width], [`${name}.bias`]: [width] }),
  apply: (w, name, x) => layerNorm(x, w[`${name}.weight`]!, w[`${name}.bias`]!, EPSILON),
};

/** SwiGLU. */
export const gated: FeedForward = {
  params: ({ hiddenSize: h, intermediateSize: m }) => ({
    ...linearParams('mlp.gate_proj', m, h),
    ...linearParams('mlp.up_proj', m, h),
    ...linearParams('mlp.down_proj', h, m),
  }),
  apply: (w, x) =>
    gatedMlp(x, {
      gate: layerOf(w, 'mlp.gate_proj'),
      up: layerOf(w, 'mlp.up_proj'),
      down: layerOf(w, 'mlp.down_proj'),
    }).out,
};

/** Two linear layers with an activation between them. */
export const feedForward = (fc1: string, fc2: string, activation: (x: Value) => Value): FeedForward => ({
  params: ({ hiddenSize: h, intermediateSize: m }) => ({ ...linearParams(fc1, m, h), ...linearParams(fc2, h, m) }),
  apply: (w, x) => linearOf(w, fc2, activation(linearOf(w, fc1, x))),
});

/** x [N, hidden], cos, sin [N, d / 2] -> rotated q and k, and v, each [N, hidden]. */
export function attentionInput({ hiddenSize: h, numHeads }: VisionConfig, norm: Norm): Module {
  const half = h / numHeads / 2;
  return {
    name: 'vision attention input',
    params: { ...norm.params('norm1', h), ...linearParams('attn.qkv', 3 * h, h) },
    inputs: { x: [N, h] },
    constants: { cos: { shape: [N, half] }, sin: { shape: [N, half] } },
    build: (w) => {
      const qkv = linearOf(w, 'attn.qkv', norm.apply(w, 'norm1', w.x!));
      const part = (i: number) => slice(qkv, 1, i * h, (i + 1) * h);
      return {
        q: rotary(part(0), w.cos!, w.sin!, numHeads),
        k: rotary(part(1), w.cos!, w.sin!, numHeads),
        v: part(2),
      };
    },
  };
}

/** Adds attention's result o [N, hidden] to the stream x [N, hidden], then applies the feed-forward layer -> y [N, hidden]. */
export function attentionOutput(config: VisionConfig, norm: Norm, mlp: FeedForward): Module {
  const { hiddenSize: h } = config;
  return {
    name: 'vision attention output',
    params: { ...linearParams('attn.proj', h, h), ...norm.params('norm2', h), ...mlp.params(config) },
    inputs: { x: [N, h], o: [N, h] },
    constants: {},
    build: (w) => {
      const attended = add(w.x!, linearOf(w, 'attn.proj', w.o!));
      return { y: add(attended, mlp.apply(w, norm.apply(w, 'norm2', attended))) };
    },
  };
}

export interface MergerNames {
  readonly norm: string;
  readonly fc1: string;
  readonly fc2: string;
}

/**
 * Merges neighbouring patches into visual tokens: x [U, merge², hidden] -> tokens [U, outHidden], U = N / merge².
 *
 * @param normsUnits whether the norm spans all patches of a unit instead of each patch
 */
export function merger(
  { hiddenSize: h, spatialMergeSize, outHiddenSize }: VisionConfig,
  norm: Norm,
  names: MergerNames,
  normsUnits = false,
): Module {
  const unit = spatialMergeSize ** 2;
  return {
    name: 'merger',
    params: {
      ...norm.params(names.norm, normsUnits ? unit * h : h),
      ...linearParams(names.fc1, unit * h, unit * h),
      ...linearParams(names.fc2, outHiddenSize, unit * h),
    },
    inputs: { x: ['U', unit, h] },
    constants: {},
    build: (w) => {
      const together = (x: Value): Value => reshape(x, ['U', unit * h]);
      const rows = normsUnits ? norm.apply(w, names.norm, together(w.x!)) : together(norm.apply(w, names.norm, w.x!));
      return { tokens: linearOf(w, names.fc2, gelu(linearOf(w, names.fc1, rows))) };
    },
  };
}

// --- internal ---

function linearParams(name: string, out: number, inner: number): Record<string, Shape> {
  return { [`${name}.weight`]: [out, inner], [`${name}.bias`]: [out] };
}

const linearOf = (w: Weights, name: string, x: Value): Value => linear(x, layerOf(w, name));
