/**
 * How tokens are drawn, and the tensors that a sampling head writes them to.
 */
import { pin } from '../runtime/session.ts';
import { type FloatTensor, floats, type Tensor } from '../runtime/tensor.ts';
import type { IdSequence } from './banned_sequences.ts';
import type { SamplingHead } from './sampling.ts';
import type { WorkingMemory } from './working_memory.ts';

/** How tokens are drawn, the same in all steps of a rollout. */
export interface DrawSettings {
  readonly head: SamplingHead;
  /** For tokens that a prompt or its completion has; 1: none. */
  readonly repetitionPenalty: number;
  /** [vocab]: 0, or -inf for ids that must not be drawn in any row. */
  readonly banned: FloatTensor;
  /** Sequences that must not be completed in a row. */
  readonly bannedSequences: readonly IdSequence[];
  /** [] */
  readonly inverseTemperature: FloatTensor;
}

/** One token for each place; overwritten by the next step. */
export interface Drawn {
  /** [places, 1] */
  readonly id: FloatTensor;
  /** log p of the id under softmax(logits / temperature). [places, 1] */
  readonly logp: FloatTensor;
  /** Entropy of that distribution, in nats. [places, 1] */
  readonly entropy: FloatTensor;
  /** Log-probabilities of all tokens [places, vocab], if the sampling head returns them. */
  readonly logps?: Tensor;
}

/**
 * @param temperature 0 takes the most likely token; log-probabilities are then those of temperature 1
 * @param logps return the log-probabilities of all tokens, too
 */
export function drawSettings(
  {
    temperature,
    topK = 0,
    topP = 1,
    minP = 0,
    repetitionPenalty = 1,
    bannedIds,
    bannedSequences = [],
  }: {
    readonly temperature: number;
    readonly topK?: number;
    readonly topP?: number;
    readonly minP?: number;
    readonly repetitionPenalty?: number;
    readonly bannedIds: readonly number[];
    readonly bannedSequences?: readonly IdSequence[];
  },
  vocabSize: number,
  logps: boolean,
): DrawSettings {
  const banned = floats(new Float32Array(vocabSize), [vocabSize]);
  for (const id of bannedIds) banned.data[id] = Number.NEGATIVE_INFINITY;
  return {
    head: {
      ...{ greedy: temperature === 0, topK, topP, minP, logps },
      ...{ penalises: repetitionPenalty !== 1, bansByRow: bannedSequences.length > 0 },
    },
    repetitionPenalty,
    banned: pin(banned),
    bannedSequences,
    inverseTemperature: pin(floats(Float32Array.of(temperature === 0 ? 1 : 1 / temperature), [])),
  };
}

/** Memory for what a sampling head returns of so many rows; each `name` has memory of its own. */
export function drawnRows(
  { scratch, workspace }: Pick<WorkingMemory, 'scratch' | 'workspace'>,
  name: string,
  rows: number,
  { logps }: SamplingHead,
  vocabSize: number,
): Drawn {
  const buffer = (which: string, width: number): FloatTensor => pin(scratch.get(`${name}.${which}`, rows, width));
  return {
    id: buffer('id', 1),
    logp: buffer('logp', 1),
    entropy: buffer('entropy', 1),
    ...(logps ? { logps: pin(workspace.get(`${name}.logps`, rows, vocabSize)) } : {}),
  };
}
