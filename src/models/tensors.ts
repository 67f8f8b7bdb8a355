/**
 * Which tensors a checkpoint has by its config, with their shapes, and whether one at hand fits it.
 * Names and shapes are those of the architecture's modules; knows nothing of where they are stored.
 */
import type { Checkpoint } from '../checkpoint/open.ts';
import { SightlineError } from '../errors.ts';
import type { Module } from '../graph/module.ts';
import type { ModelConfig } from './architecture.ts';
import { EMBEDDING, FINAL_NORM, LM_HEAD, layerTensor, visionBlockTensor, visionTensor } from './names.ts';

/**
 * Every tensor by canonical name, in forward order: embedding, decoder layers, final norm, head (unless tied), vision tower.
 * Linear weights are [out, in].
 */
export function expectedTensors(config: ModelConfig): Map<string, readonly number[]> {
  return new Map([...textTensors(config), ...visionTensors(config)]);
}

/**
 * Checks that every expected tensor is there with its shape.
 *
 * @returns the names of tensors the model has no use for (a stored but tied head among them)
 * Errors: E_TENSOR_MISSING, E_TENSOR_SHAPE; the first of its kind is named, the others are counted.
 */
export function validateShapes(checkpoint: Checkpoint, config: ModelConfig): { extra: string[] } {
  const expected = expectedTensors(config);
  const missing: string[] = [];
  const wrong: string[] = [];
  for (const [name, shape] of expected) {
    const stored = checkpoint.tensors.get(name);
    if (stored === undefined) missing.push(name);
    else if (!sameShape(stored.shape, shape)) wrong.push(name);
  }
  const hint = 'config.json and the weights belong to different models, or a shard is missing from the index';
  if (missing[0] !== undefined) {
    throw new SightlineError('E_TENSOR_MISSING', `tensor "${missing[0]}" is missing${andMore(missing)}`, {
      where: checkpoint.dir,
      hint,
    });
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

// --- internal ---

type NamedShape = [name: string, shape: readonly number[]];

function* textTensors(config: ModelConfig): Generator<NamedShape> {
  const { hiddenSize, vocabSize, numHiddenLayers, tieWordEmbeddings } = config.text;
  const { before, after } = config.architecture.decoderBlock(config);
  yield [EMBEDDING, [vocabSize, hiddenSize]];
  for (let layer = 0; layer < numHiddenLayers; layer++)
    for (const [name, shape] of Object.entries({ ...before, ...after })) yield [layerTensor(layer, name), shape];
  yield [FINAL_NORM, [hiddenSize]];
  if (!tieWordEmbeddings) yield [LM_HEAD, [vocabSize, hiddenSize]];
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

function andMore(names: readonly string[]): string {
  return names.length > 1 ? ` (and ${names.length - 1} more)` : '';
}
