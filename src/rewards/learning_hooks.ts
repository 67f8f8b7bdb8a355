/**
 * Checks what a reward asks of learning: factors of advantages, and weights of tokens. Does not know how they are applied.
 */
import { SightlineError } from '../errors.ts';
import { show } from './describe_value.ts';
import type { Reward } from './reward.ts';
import { locationOfCaller } from './source_location.ts';

type Named = Pick<Reward, 'name' | 'file'>;

/**
 * @param count of samples
 * @throws SightlineError E_REWARD_RETURN
 */
export function checkFactors({ name, file }: Named, hook: string, factors: unknown, count: number): void {
  const fault = (what: string) =>
    new SightlineError('E_REWARD_RETURN', `reward "${name}" called ${hook} with ${what}`, {
      where: locationOfCaller(file),
      hint: 'pass one finite number of at least 0 for each sample',
    });
  if (!isList(factors)) throw fault(show(factors));
  if (factors.length !== count) throw fault(`${factors.length} numbers for ${count} samples`);
  const at = Array.from(factors).findIndex((factor) => !isFactor(factor));
  if (at >= 0) throw fault(`${show(factors[at])} for sample ${at}`);
}

/**
 * @param completionIds of the samples [B][T_i]
 * @throws SightlineError E_REWARD_RETURN
 */
export function checkTokenWeights(
  { name, file }: Named,
  weights: unknown,
  completionIds: readonly ArrayLike<number>[],
): void {
  const fault = (what: string) =>
    new SightlineError('E_REWARD_RETURN', `reward "${name}" called weigh_tokens with ${what}`, {
      where: locationOfCaller(file),
      hint: 'pass a list for each sample, with one finite number of at least 0 for each of its completion_ids',
    });
  if (!isList(weights)) throw fault(show(weights));
  if (weights.length !== completionIds.length)
    throw fault(`${weights.length} lists for ${completionIds.length} samples`);
  for (const [i, row] of Array.from(weights).entries()) {
    const { length } = completionIds[i]!;
    if (!isList(row)) throw fault(`${show(row)} for sample ${i}`);
    if (row.length !== length) throw fault(`${row.length} weights for the ${length} tokens of sample ${i}`);
    const at = Array.from(row).findIndex((weight) => !isFactor(weight));
    if (at >= 0) throw fault(`${show(row[at])} for token ${at} of sample ${i}`);
  }
}

// --- internal ---

const isList = (value: unknown): value is ArrayLike<unknown> => Array.isArray(value) || ArrayBuffer.isView(value);
const isFactor = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value) && value >= 0;
