/**
 * Which numbers a reward may add to a step's metrics. Knows the names that belong to the run itself, not what they mean.
 */
import { SightlineError } from '../errors.ts';
import { placeOfCaller } from './place.ts';
import type { Reward } from './registry.ts';
import { show } from './show.ts';

/** Names in records and event files that the trainer and the records themselves fill in. */
const OWNED: ReadonlySet<string> = new Set([
  'loss',
  'reward',
  'reward_std',
  'frac_reward_zero_std',
  'grad_norm',
  'learning_rate',
  'kl',
  'entropy',
  'skipped_steps',
  'step_time',
  'step',
  'epoch',
  'global_step/max_steps',
  'elapsed_time',
  'remaining_time',
  'memory(GiB)',
  'train_speed(s/it)',
]);
const OWNED_PREFIXES = ['rewards/', 'completions/', 'clip_ratio/', 'entropy/', 'attention/corr_tdr_', 'eval_'];

export function isOwnedMetric(name: string): boolean {
  return OWNED.has(name) || OWNED_PREFIXES.some((prefix) => name.startsWith(prefix));
}

/** @throws SightlineError E_REWARD_RETURN: a name that is none or is taken, a value that cannot be averaged */
export function checkMetric(
  { name: reward, file }: Pick<Reward, 'name' | 'file'>,
  name: unknown,
  value: unknown,
): void {
  const fault = (message: string, hint: string) =>
    new SightlineError('E_REWARD_RETURN', `reward "${reward}" logged ${message}`, { where: placeOfCaller(file), hint });
  if (typeof name !== 'string' || name === '') {
    throw fault(`a metric whose name is ${show(name)}`, 'write log_metric(name, value) with a text and a number');
  }
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw fault(`${show(value)} as the metric "${name}"`, 'log a finite number, or nothing where there is none');
  }
  if (isOwnedMetric(name)) {
    throw fault(`a metric as "${name}", a name of the trainer's own`, `choose another, such as "${reward}/${name}"`);
  }
}
