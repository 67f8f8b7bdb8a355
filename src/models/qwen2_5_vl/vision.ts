/**
 * The vision tower of Qwen2.5-VL as symbolic modules: patch embedding, what enters and follows attention, the merger.
 * Knows rows of patches; their order (windows) and angles come from outside.
 */
import type { Module } from '../../graph/module.ts';
import { add, gelu } from '../../graph/ops/elementwise.ts';
import { reshape, slice } from '../../graph/ops/movement.ts';
import { rmsNorm } from '../../graph/ops/norm.ts';
import { rotary } from '../../graph/ops/rotary.ts';
import { linear } from '../../nn/linear.ts';
import { gatedMlp } from '../../nn/mlp.ts';
import type { VisionTowerParts } from '../architecture.ts';
import { patchEmbedding, storedShapes } from '../qwen_vl/patches.ts';
import type { Qwen2_5_VLVisionConfig } from './config.ts';
import { visionLayout } from './vision_layout.ts';

/** The tower's norms take no epsilon from the config. */
const EPSILON = 1e-6;
/** Patches. */
const N = 'N';

export function visionTower(config: Qwen2_5_VLVisionConfig): VisionTowerParts {
  return {
    embedding: patchEmbedding(config),
    before: attentionInput(config),
    after: attentionOutput(config),
    merger: merger(config),
    deepstack: [],
    attends: (block) => (config.fullattBlockIndexes.includes(block) ? 'frames' : 'windows'),
    layout: (grid) => visionLayout(config, grid),
    storedShapes: storedShapes(config),
  };
}

// --- internal ---

/** x [N, hidden] -> rotated q and k, and v, each [N, hidden]. */
function attentionInput({ hiddenSize: h, numHeads }: Qwen2_5_VLVisionConfig): Module {
  const half = h / numHeads / 2;
  return {
    name: 'vision attention input',
    params: { 'norm1.weight': [h], 'attn.qkv.weight': [3 * h, h], 'attn.qkv.bias': [3 * h] },
    inputs: { x: [N, h] },
    constants: { cos: { shape: [N, half] }, sin: { shape: [N, half] } },
    build: (w) => {
      const normed = rmsNorm(w.x!, w['norm1.weight']!, EPSILON);
      const qkv = linear(normed, w['attn.qkv.weight']!, w['attn.qkv.bias']!);
      const part = (i: number) => slice(qkv, 1, i * h, (i + 1) * h);
      return {
        q: rotary(part(0), w.cos!, w.sin!, numHeads),
        k: rotary(part(1), w.cos!, w.sin!, numHeads),
        v: part(2),
      };
    },
  };
}

/** Attention's result o [N, hidden] back into the stream, then the feed-forward layer. */
function attentionOutput({ hiddenSize: h, intermediateSize: m }: Qwen2_5_VLVisionConfig): Module {
  return {
    name: 'vision attention output',
    params: {
      'attn.proj.weight': [h, h],
      'attn.proj.bias': [h],
      'norm2.weight': [h],
      'mlp.gate_proj.weight': [m, h],
      'mlp.gate_proj.bias': [m],
      'mlp.up_proj.weight': [m, h],
      'mlp.up_proj.bias': [m],
      'mlp.down_proj.weight': [h, m],
      'mlp.down_proj.bias': [h],
    },
    inputs: { x: [N, h], o: [N, h] },
    constants: {},
    build: (w) => {
      const attended = add(w.x!, linear(w.o!, w['attn.proj.weight']!, w['attn.proj.bias']!));
      const normed = rmsNorm(attended, w['norm2.weight']!, EPSILON);
      const mlp = {
        gate: w['mlp.gate_proj.weight']!,
        up: w['mlp.up_proj.weight']!,
        down: w['mlp.down_proj.weight']!,
        gateBias: w['mlp.gate_proj.bias']!,
        upBias: w['mlp.up_proj.bias']!,
        downBias: w['mlp.down_proj.bias']!,
      };
      return { y: add(attended, gatedMlp(normed, mlp).out) };
    },
  };
}

/** Four neighbouring patches to one visual token: x [U, merge² rows of hidden] -> [U, outHidden], U = N / merge². */
function merger({ hiddenSize: h, spatialMergeSize, outHiddenSize }: Qwen2_5_VLVisionConfig): Module {
  const unit = spatialMergeSize ** 2;
  return {
    name: 'merger',
    params: {
      'merger.ln_q.weight': [h],
      'merger.mlp.0.weight': [unit * h, unit * h],
      'merger.mlp.0.bias': [unit * h],
      'merger.mlp.2.weight': [outHiddenSize, unit * h],
      'merger.mlp.2.bias': [outHiddenSize],
    },
    inputs: { x: ['U', unit, h] },
    constants: {},
    build: (w) => {
      const normed = reshape(rmsNorm(w.x!, w['merger.ln_q.weight']!, EPSILON), ['U', unit * h]);
      const wide = gelu(linear(normed, w['merger.mlp.0.weight']!, w['merger.mlp.0.bias']!));
      return { tokens: linear(wide, w['merger.mlp.2.weight']!, w['merger.mlp.2.bias']!) };
    },
  };
}
