/**
 * The tensors and shapes that a config implies, and the check that a checkpoint has them.
 * Names and shapes come from the modules of the architecture.
 */
import { EMBEDDING, HEAD, storesOwnHead } from '../checkpoint/head.ts';
import type { Checkpoint, StoredTensor } from '../checkpoint/open.ts';
import { isWeightDtype } from '../checkpoint/safetensors.ts';
import { SightlineError } from '../errors.ts';
import type { Module } from '../graph/module.ts';
import type { ModelConfig } from './architecture.ts';
import { FINAL_NORM, layerTensor, visionBlockTensor, visionTensor } from './names.ts';

/**
 * Every tensor by canonical name, in forward order: embedding, decoder layers, final norm, head (unless tied), vision tower.
 * Linear weights are [out, in].
 */
export function expectedTensors(config: ModelConfig): Map<string, readonly number[]> {
  return new Map([...textTensors(config), ...visionTensors(config)]);
}

/**
 * Checks that the checkpoint has every expected tensor, with the right shape and a readable dtype.
 *
 * @returns the names of tensors that the model does not use (such as a stored head that is tied)
 * Errors: E_TENSOR_MISSING, E_TENSOR_DTYPE, E_TENSOR_SHAPE; the first tensor of its kind is named, the others are counted.
 */
export function validateShapes(checkpoint: Checkpoint, config: ModelConfig): { extra: string[] } {
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
 * The config corrected by the weights: if config.json ties the head but a head with other values than the embedding's is
 * stored, the head is untied, because transformers uses the stored values.
 */
export function withStoredHead(config: ModelConfig, checkpoint: Checkpoint): ModelConfig {
  if (!config.text.tieWordEmbeddings || !storesOwnHead(checkpoint)) return config;
  return { ...config, text: { ...config.text, tieWordEmbeddings: false } };
}

// --- internal ---

/** Hint for a head that is neither stored nor tied. */
const UNTIED = 'if the head is the embedding, set "tie_word_embeddings": true in config.json';

type NamedShape = [name: string, shape: readonly number[]];

function* textTensors(config: ModelConfig): Generator<NamedShape> {
  const { hiddenSize, vocabSize, numHiddenLayers, tieWordEmbeddings } = config.text;
  const { before, after } = config.architecture.decoderBlock(config);
  yield [EMBEDDING, [vocabSize, hiddenSize]];
  for (let layer = 0; layer < numHiddenLayers; layer++)
    for (const [name, shape] of Object.entries({ ...before, ...after })) yield [layerTensor(layer, name), shape];
  yield [FINAL_NORM, [hiddenSize]];
  if (!tieWordEmbeddings) yield [HEAD, [vocabSize, hiddenSize]];
}

function* visionTensors(config: ModelConfig): Generator<NamedShape> {
  const { embedding, before, after, merger, deepstack, storedShapes } = config.architecture.vision(config);
  const shapesOf = ({ params }: Module, nameOf: (param: string) => string): NamedShape[] =>
    Object.entries(params).map(([param, shape]) => [nameOf(param), storedShapes[param] ?? shape.map(Number)]);
  yield* shapesOf(embedding, visionTensor);
  for (let block = 0; block < config.vision.depth; block++)
    for (const half of [before, after]) yield* shapesOf(half, (param) => visionBlockTensor(block, param));
  yield* shapesOf(merger, visionTensor);
  for (const { module, prefix } of deepstack) yield* shapesOf(module, (param) => visionTensor(`${prefix}${param}`));
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

function andMore(names: readonly unknown[]): string {
  return names.length > 1 ? ` (and ${names.length - 1} more)` : '';
}
