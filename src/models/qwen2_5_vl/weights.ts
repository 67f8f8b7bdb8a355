/**
 * Which tensors a Qwen2.5-VL checkpoint has, with their shapes, and whether one at hand fits its config.
 * Names are canonical (published layout); knows nothing of where they are stored.
 */
import { EMBEDDING, HEAD, storesOwnHead } from '../../checkpoint/head.ts';
import type { Checkpoint, StoredTensor } from '../../checkpoint/open.ts';
import { isWeightDtype } from '../../checkpoint/safetensors.ts';
import { SightlineError } from '../../errors.ts';
import type { Qwen2_5_VLConfig, TextConfig, VisionConfig } from './config.ts';

/**
 * Every tensor by name, in forward order: embedding, decoder layers, final norm, head (unless tied), vision tower. Linear weights
 * are [out, in].
 *
 * Reference: modeling_qwen2_5_vl.py of transformers.
 */
export function expectedTensors(config: Qwen2_5_VLConfig): Map<string, readonly number[]> {
  return new Map([...textTensors(config.text), ...visionTensors(config.vision)]);
}

/**
 * Checks that every expected tensor is there with its shape, in a dtype that can be read.
 *
 * @returns the names of tensors the model has no use for (a stored but tied head among them)
 * Errors: E_TENSOR_MISSING, E_TENSOR_DTYPE, E_TENSOR_SHAPE; the first of its kind is named, the others are counted.
 */
export function validateShapes(checkpoint: Checkpoint, config: Qwen2_5_VLConfig): { extra: string[] } {
  const expected = expectedTensors(config);
  const missing: string[] = [];
  const unreadable: StoredTensor[] = [];
  const wrong: string[] = [];
  for (const [name, shape] of expected) {
    const stored = checkpoint.tensors.get(name);
    if (stored === undefined) missing.push(name);
    else if (!isWeightDtype(stored.dtype)) unreadable.push(stored);
    else if (!sameShape(stored.shape, shape)) wrong.push(name);
  }
  const hint = 'config.json and the weights belong to different models, or a shard is missing from the index';
  if (missing[0] !== undefined) {
    throw new SightlineError('E_TENSOR_MISSING', `tensor "${missing[0]}" is missing${andMore(missing)}`, {
      where: checkpoint.dir,
      hint: missing[0] === HEAD && missing.length === 1 ? `${UNTIED}; or ${hint}` : hint,
    });
  }
  if (unreadable[0] !== undefined) {
    const { storedName, dtype, file } = unreadable[0];
    const expectation = 'expected F32, F16, BF16 or F64';
    throw new SightlineError(
      'E_TENSOR_DTYPE',
      `tensor "${storedName}" has dtype ${dtype}, ${expectation}${andMore(unreadable)}`,
      { where: file, hint: 'quantised checkpoints cannot be used; use the model as it was before it was quantised' },
    );
  }
  if (wrong[0] !== undefined) {
    const stored = checkpoint.tensors.get(wrong[0])!;
    const shapes = `has shape [${stored.shape}], expected [${expected.get(wrong[0])}] by config.json`;
    throw new SightlineError('E_TENSOR_SHAPE', `tensor "${stored.storedName}" ${shapes}${andMore(wrong)}`, {
      where: stored.file,
      hint,
    });
  }
  return { extra: [...checkpoint.tensors.keys()].filter((name) => !expected.has(name)) };
}

/**
 * The config as the weights have it: of a head that config.json ties, but that is stored with other values than the
 * embedding's, transformers uses the stored values.
 */
export function withStoredHead(config: Qwen2_5_VLConfig, checkpoint: Checkpoint): Qwen2_5_VLConfig {
  if (!config.text.tieWordEmbeddings || !storesOwnHead(checkpoint)) return config;
  return { ...config, text: { ...config.text, tieWordEmbeddings: false } };
}

// --- internal ---

/** A head that is neither stored nor tied has no values at all. */
const UNTIED = 'if the head is the embedding, set "tie_word_embeddings": true in config.json';

function* textTensors(text: TextConfig): Generator<[string, readonly number[]]> {
  const { hiddenSize, intermediateSize, vocabSize, headDim } = text;
  const queries = text.numAttentionHeads * headDim;
  const keys = text.numKeyValueHeads * headDim;
  yield [EMBEDDING, [vocabSize, hiddenSize]];
  for (let i = 0; i < text.numHiddenLayers; i++) {
    const layer = `model.layers.${i}`;
    yield [`${layer}.input_layernorm.weight`, [hiddenSize]];
    yield* linear(`${layer}.self_attn.q_proj`, queries, hiddenSize);
    yield* linear(`${layer}.self_attn.k_proj`, keys, hiddenSize);
    yield* linear(`${layer}.self_attn.v_proj`, keys, hiddenSize);
    yield [`${layer}.self_attn.o_proj.weight`, [hiddenSize, queries]];
    yield [`${layer}.post_attention_layernorm.weight`, [hiddenSize]];
    yield [`${layer}.mlp.gate_proj.weight`, [intermediateSize, hiddenSize]];
    yield [`${layer}.mlp.up_proj.weight`, [intermediateSize, hiddenSize]];
    yield [`${layer}.mlp.down_proj.weight`, [hiddenSize, intermediateSize]];
  }
  yield ['model.norm.weight', [hiddenSize]];
  if (!text.tieWordEmbeddings) yield [HEAD, [vocabSize, hiddenSize]];
}

function* visionTensors(vision: VisionConfig): Generator<[string, readonly number[]]> {
  const { hiddenSize, intermediateSize, patchSize, spatialMergeSize } = vision;
  yield [
    'visual.patch_embed.proj.weight',
    [hiddenSize, vision.inChannels, vision.temporalPatchSize, patchSize, patchSize],
  ];
  for (let i = 0; i < vision.depth; i++) {
    const block = `visual.blocks.${i}`;
    yield [`${block}.norm1.weight`, [hiddenSize]];
    yield* linear(`${block}.attn.qkv`, 3 * hiddenSize, hiddenSize);
    yield* linear(`${block}.attn.proj`, hiddenSize, hiddenSize);
    yield [`${block}.norm2.weight`, [hiddenSize]];
    yield* linear(`${block}.mlp.gate_proj`, intermediateSize, hiddenSize);
    yield* linear(`${block}.mlp.up_proj`, intermediateSize, hiddenSize);
    yield* linear(`${block}.mlp.down_proj`, hiddenSize, intermediateSize);
  }
  // The merger sees spatialMergeSize x spatialMergeSize neighbouring patches side by side.
  const merged = hiddenSize * spatialMergeSize ** 2;
  yield ['visual.merger.ln_q.weight', [hiddenSize]];
  yield* linear('visual.merger.mlp.0', merged, merged);
  yield* linear('visual.merger.mlp.2', vision.outHiddenSize, merged);
}

function* linear(name: string, out: number, inner: number): Generator<[string, readonly number[]]> {
  yield [`${name}.weight`, [out, inner]];
  yield [`${name}.bias`, [out]];
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

function andMore(names: readonly unknown[]): string {
  return names.length > 1 ? ` (and ${names.length - 1} more)` : '';
}
