/**
 * Log-probabilities and entropies of completion tokens from hidden rows, and their gradient.
 * Runs in chunks of rows, so that logits of all positions never exist at once. Where a rollout has kept the log-probabilities
 * of all tokens, backward uses them.
 */

import type { TextConfig } from '../models/architecture.ts';
import type { CompiledModule } from '../runtime/compiled_module.ts';
import { type FloatTensor, floats, ints, rows, type Tensor } from '../runtime/tensor.ts';
import { accumulatorsOf, weightsOf } from './bindings.ts';
import { type Dropout, dropoutMasks } from './dropout.ts';
import type { Group } from './groups.ts';
import { type HeadSizes, headName, ROWS, scoringHead } from './heads.ts';
import { createLayerModules, type LayerModules } from './layer_modules.ts';
import type { PackedBatch } from './packed.ts';
import type { Parameters } from './parameters.ts';
import { cutRows, mostRows, piecesOf } from './row_chunks.ts';
import { BACKWARD } from './run_limits.ts';
import type { WorkingMemory } from './working_memory.ts';

type Tied = Pick<TextConfig, 'tieWordEmbeddings'>;

/** Row hiddenRows[i] predicts token targets[i]: both [predictions]. */
export interface Targets {
  readonly hiddenRows: Int32Array;
  readonly targets: Int32Array;
}

/** Which row of a batch predicts which token. `hiddenRows` are indices into `outputRows`. */
export interface Predictions extends Targets {
  /** Rows of the batch that predict a token, ascending: the only ones whose last hidden state is needed. */
  readonly outputRows: Int32Array;
}

export interface ScoringOptions {
  readonly temperature: number;
  /** Of the input of the head's adapter. */
  readonly dropout?: Dropout | null | undefined;
}

/** What backward starts from. */
export interface TokenCotangents {
  /** Of the log-probabilities [predictions]. */
  readonly logps: Float32Array;
  /** Of the entropies [predictions]; null or absent: 0. */
  readonly entropies?: Float32Array | null;
}

/** Log-probabilities of all tokens that a rollout has kept: row order[i] of [rows, vocab] belongs to prediction i. */
export interface RecordedLogps {
  readonly rows: Tensor;
  readonly order: Int32Array;
}

export interface ScoringHead {
  /** logps and entropies [predictions], of softmax(logits / temperature). hidden [outputRows, hidden size] */
  forward(
    hidden: Tensor,
    predictions: Targets,
    options: ScoringOptions,
  ): Promise<{ logps: Float32Array; entropies: Float32Array }>;
  /**
   * Cotangent of `hidden`, given those of the log-probabilities and entropies. Adds the head's weight gradients.
   *
   * @param recorded log-probabilities of all tokens; null: they are computed again
   */
  backward(
    hidden: Tensor,
    predictions: Targets,
    options: ScoringOptions,
    cotangents: TokenCotangents,
    recorded?: RecordedLogps | null,
  ): Promise<Tensor>;
  release(): Promise<void>;
}

/**
 * Bytes that the logits of one chunk may take (276 rows at a vocabulary of 151,936), in backward together with their cotangents.
 * Every chunk reads all weights once, so small chunks are bound by memory; larger ones than this gain little (docs/log.md).
 */
const CHUNK_BYTES = 160 * 2 ** 20;

/**
 * The tokens of all completions in order, each with the row before it, which predicts it.
 *
 * @param batch the same groups, packed; rows of last tokens may be missing
 */
export function predictionsOf(batch: PackedBatch, groups: readonly Pick<Group, 'completions'>[]): Predictions {
  const hiddenRows: number[] = [];
  const targets: number[] = [];
  for (const [g, { prompt, completions: spans }] of batch.groups.entries()) {
    for (const [c, { start }] of spans.entries()) {
      for (const [t, id] of groups[g]!.completions[c]!.ids.entries()) {
        hiddenRows.push(t === 0 ? prompt.start + prompt.length - 1 : start + t - 1);
        targets.push(id);
      }
    }
  }
  const outputRows = Int32Array.from(new Set(hiddenRows)).sort();
  const indexOf = new Map([...outputRows].map((row, i) => [row, i]));
  return {
    outputRows,
    hiddenRows: Int32Array.from(hiddenRows, (row) => indexOf.get(row)!),
    targets: Int32Array.from(targets),
  };
}

export function createScoringHead(
  config: HeadSizes & Tied,
  parameters: Parameters,
  { device, workspace, scratch, moves }: WorkingMemory,
): ScoringHead {
  const { hiddenSize: h, vocabSize } = config;
  const nameOf = headName(config);
  const differentiable = (from: readonly string[]): LayerModules =>
    createLayerModules(scoringHead(config), ROWS, parameters, scratch, { from }, device);
  const heads = differentiable(['logp']);
  const entropyHeads = differentiable(['logp', 'entropy']);
  const bytesRows = (tensors: number): number =>
    Math.max(
      1,
      Math.min(1024, Math.floor(Math.min(CHUNK_BYTES, tensors * device.largestTensor) / (4 * vocabSize * tensors))),
    );

  async function* chunks(
    head: CompiledModule,
    hidden: Tensor,
    { hiddenRows, targets }: Targets,
    { temperature, dropout = null }: ScoringOptions,
    { times, tensors }: { readonly times: number; readonly tensors: number },
  ) {
    const masks = dropout && dropoutMasks(head.module, dropout, nameOf, targets.length, scratch);
    const most = Math.min(bytesRows(tensors), mostRows(head, times));
    const inverseTemperature = floats(Float32Array.of(1 / temperature), []);
    for (const { start, end } of piecesOf(targets.length, most)) {
      const into = workspace.get('head.rows', end - start, h);
      const picked = await moves.gather(hidden, hiddenRows.subarray(start, end), into);
      const feeds: Record<string, Tensor> = {
        ...weightsOf(head, parameters, nameOf),
        hidden: picked,
        target: ints(targets.subarray(start, end), [end - start]),
        inverseTemperature,
        ...cutRows(device, masks ?? {}, { start, end }),
      };
      yield { start, end, feeds };
    }
  }

  return {
    async forward(hidden, predictions, options) {
      const head = heads.of(nameOf, options.dropout);
      const count = predictions.targets.length;
      const logps = floats(new Float32Array(count), [count, 1]);
      const entropies = floats(new Float32Array(count), [count, 1]);
      const size = { times: 1, tensors: 1 };
      for await (const { start, end, feeds } of chunks(head, hidden, predictions, options, size)) {
        await head.forward(feeds, { logp: rows(logps, start, end), entropy: rows(entropies, start, end) });
      }
      return { logps: logps.data, entropies: entropies.data };
    },

    async backward(hidden, predictions, options, { logps: dLogps, entropies: dEntropies = null }, recorded = null) {
      const head = (dEntropies === null ? heads : entropyHeads).of(nameOf, options.dropout);
      const size = { times: BACKWARD, tensors: dEntropies === null ? 2 : 3 };
      const dHidden = workspace.get('head.d.hidden', ...hidden.dims);
      await device.clear(dHidden);
      const gradients = accumulatorsOf(head, parameters, nameOf);
      for await (const { start, end, feeds } of chunks(head, hidden, predictions, options, size)) {
        const dRows = workspace.get('head.d.rows', end - start, h);
        const column = (values: Float32Array): FloatTensor => floats(values.subarray(start, end), [end - start, 1]);
        const logps =
          recorded &&
          (await moves.gather(
            recorded.rows,
            recorded.order.subarray(start, end),
            workspace.get('head.logps', end - start, vocabSize),
          ));
        const given = { 'd.logp': column(dLogps), ...(dEntropies && { 'd.entropy': column(dEntropies) }) };
        await head.backward(
          { ...feeds, ...given, ...gradients.feeds },
          { 'd.hidden': dRows, ...gradients.into },
          logps === null ? undefined : { logps },
        );
        await moves.add(dRows, predictions.hiddenRows.subarray(start, end), dHidden);
      }
      return dHidden;
    },

    async release() {
      await Promise.all([heads.release(), entropyHeads.release()]);
    },
  };
}
