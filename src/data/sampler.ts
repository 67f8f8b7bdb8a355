/**
 * The order in which rows are visited: epochs, shuffled from a seed, resumable at any point.
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
  /** Rows of this epoch already given. */
  readonly position: number;
}

export interface Sampler {
  /** The next row's index; a new epoch begins by itself. */
  next(): number;
  /** Passes over the data so far, with fraction. */
  epoch(): number;
  state(): SamplerState;
}

export interface SamplerOptions {
  readonly length: number;
  readonly seed: number;
  /** Default true. */
  readonly shuffle?: boolean;
}

/** Every epoch is a permutation of its own, which depends on seed and epoch alone. */
export function createSampler({ length, seed, shuffle = true }: SamplerOptions): Sampler {
  return samplerFrom({ length, seed, shuffle, epoch: 0, position: 0 });
}

/**
 * Goes on where `state` was taken. `length` is that of the dataset at hand.
 * Error: E_RESUME_DATASET if the dataset has changed its length.
 */
export function restoreSampler(state: SamplerState, length: number): Sampler {
  if (state.length !== length) {
    throw new SightlineError(
      'E_RESUME_DATASET',
      `the dataset has ${length} rows, the checkpoint was made with ${state.length}`,
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
