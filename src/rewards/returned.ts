/**
 * Checks what a reward returned: one finite number or null for each completion.
 * Knows the contract, not what any reward measures.
 */
import { SightlineError } from '../errors.ts';
import type { RewardKwargs } from './contract.ts';
import { show } from './describe_value.ts';
import type { Reward } from './reward.ts';
import { locationOfCall } from './source_location.ts';

export interface JudgedBatch {
  readonly completions: readonly string[];
  readonly kwargs: Pick<RewardKwargs, 'num_generations'>;
  /** The position (file and line) of each completion's row. */
  readonly rows: readonly string[] | undefined;
}

/**
 * The values of a reward, with undefined as null.
 *
 * @throws SightlineError E_REWARD_RETURN, naming the reward, the value, the sample, its row and the line of the plugin
 */
export function checkedValues(
  reward: Pick<Reward, 'name' | 'orm' | 'file' | 'weight'>,
  returned: unknown,
  { completions, kwargs, rows }: JudgedBatch,
): (number | null)[] {
  const samples = completions.length;
  const fault = (message: string, hint: string) =>
    new SightlineError('E_REWARD_RETURN', `reward "${reward.name}" returned ${message}`, {
      where: locationOfCall(reward.orm, reward.file),
      hint,
    });
  const sample = (i: number): string => {
    const row = rows?.[i];
    return row === undefined
      ? `sample ${i}`
      : `sample ${i} (completion ${i % kwargs.num_generations} of the row ${row})`;
  };
  if (!Array.isArray(returned)) {
    throw fault(`${show(returned)} instead of an array`, `call(completions, kwargs) must return ${samples} numbers`);
  }
  if (returned.length !== samples) {
    throw fault(
      `${returned.length} values for ${samples} completions`,
      'return one number or null per completion, in their order',
    );
  }
  // Array.from, because map would skip the holes of a sparse array.
  return Array.from(returned, (value: unknown, i) => {
    if (value === null || value === undefined) return null;
    if (typeof value !== 'number' || !Number.isFinite(value)) {
      throw fault(
        `${show(value)} for ${sample(i)}`,
        'a value is a finite number, or null if the reward does not apply',
      );
    }
    if (Math.abs(value) > LARGEST) {
      throw fault(
        `${value} for ${sample(i)}`,
        `the magnitude of a value is at most ${LARGEST}; scale the reward or bound it`,
      );
    }
    const weighted = reward.weight * value;
    if (Math.abs(weighted) > LARGEST) {
      throw fault(
        `${value} for ${sample(i)}, which is ${Number(weighted.toPrecision(6))} with its weight ${reward.weight}`,
        `the magnitude of a weighted value is at most ${LARGEST}; lower its weight in --reward_weights`,
      );
    }
    return value;
  });
}

// --- internal ---

/** Largest magnitude of a value, and of a value times its weight; keeps sums and squares far from overflow. */
const LARGEST = 1e30;
