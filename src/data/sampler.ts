/**
 * The order in which rows are visited: seeded shuffles, one per epoch, resumable at any point.
 * Knows indices, not rows.
 */
import { SightlineError } from '../errors.ts';
import { createRandom } from '../util/random.ts';

/** Plain data, for checkpoints. */
export interface SamplerState {
  readonly length: number;
  readonly seed: number;
  readonly shuffle: boolean;
  readonly epoch: number;
  /** Rows of this epoch already visited. */
  readonly position: number;
}

export interface Sampler {
  /** The next row's index. Starts a new epoch after the last row. */
  next(): number;
  /** Passes over the data so far, including the fraction of the current one. */
  epoch(): number;
  state(): SamplerState;
}

export interface SamplerOptions {
  readonly length: number;
  readonly seed: number;
  /** Default true. */
  readonly shuffle?: boolean;
}

/** Each epoch has its own permutation, which depends only on the seed and the epoch's number. */
export function createSampler({ length, seed, shuffle = true }: SamplerOptions): Sampler {
  return samplerFrom({ length, seed, shuffle, epoch: 0, position: 0 });
}

/**
 * Continues from `state`.
 *
 * @param length rows of the current dataset
 * Error: E_RESUME_DATASET if this differs from the length in `state`.
 */
export function restoreSampler(state: SamplerState, length: number): Sampler {
  if (state.length !== length) {
    throw new SightlineError(
      'E_RESUME_DATASET',
      `the dataset has ${length} rows, but the checkpoint was saved with ${state.length}`,
      {
        hint: 'resume with the same --dataset, or start a new run from the checkpoint as --model',
      },
    );
  }
  return samplerFrom(state);
}

// --- internal ---

function samplerFrom(initial: SamplerState): Sampler {
  const { length, seed, shuffle } = initial;
  if (!Number.isInteger(length) || length < 1) throw new Error(`internal: sampler over ${length} rows`);
  let { epoch, position } = initial;
  let order = orderOf(epoch);
  function orderOf(which: number): number[] {
    const indices = Array.from({ length }, (_, i) => i);
    return shuffle ? createRandom(seed).fork(`epoch ${which}`).shuffle(indices) : indices;
  }
  return {
    next: () => {
      if (position === length) {
        epoch++;
        position = 0;
        order = orderOf(epoch);
      }
      return order[position++]!;
    },
    epoch: () => epoch + position / length,
    state: () => ({ length, seed, shuffle, epoch, position }),
  };
}
