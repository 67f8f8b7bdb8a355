/**
 * Signals: numbers per completion that rewards log beside their values, and that a run averages, shows and watches.
 * Knows how they are declared and how their metrics are named; not what they mean.
 */
import { SightlineError } from '../errors.ts';
import type { OrmConstructor, RewardSignal } from './contract.ts';
import { show } from './describe_value.ts';
import { isOwnedColumn } from './logged_columns.ts';
import { isOwnedMetric, metricsOfSignal } from './metric.ts';
import type { Reward } from './reward.ts';

/** The signals of a run's rewards. Rewards that declare the same one, such as a class and its subclass, share it. */
export function signalsOf(rewards: readonly Pick<Reward, 'signals'>[]): readonly RewardSignal[] {
  const byColumn = new Map(rewards.flatMap(({ signals = [] }) => signals.map((signal) => [signal.column, signal])));
  return [...byColumn.values()];
}

/** Whether a reward declares the signal of this column. */
export function hasSignal({ signals = [] }: Pick<Reward, 'signals'>, column: string): boolean {
  return signals.some((signal) => signal.column === column);
}

/**
 * The signals that a class declares under `static signals`.
 *
 * @throws SightlineError E_REWARD_CLASS if the declaration is malformed or a name is taken
 */
export function statedSignals(name: string, Orm: OrmConstructor, file: string | undefined): readonly RewardSignal[] {
  const stated: unknown = Orm.signals ?? [];
  const fault = (message: string, hint: string) =>
    new SightlineError('E_REWARD_CLASS', `reward "${name}" has \`static signals\` with ${message}`, {
      where: file,
      hint,
    });
  if (!Array.isArray(stated)) throw fault(show(stated), FORM);
  return Array.from(stated as readonly unknown[], (given): RewardSignal => {
    if (typeof given !== 'object' || given === null) throw fault(show(given), FORM);
    const { column, metric, watch } = given as Record<string, unknown>;
    if (!isName(column)) throw fault(`${show(column)} as a column`, FORM);
    if (!isName(metric)) throw fault(`${show(metric)} as a metric`, FORM);
    const { mean, std, correlation } = metricsOfSignal({ metric });
    const taken = [mean, std, correlation].find(isOwnedMetric);
    if (taken !== undefined) throw fault(`a metric "${taken}", a name that the trainer uses itself`, 'choose another');
    if (isOwnedColumn(column)) throw fault(`the column "${column}", which completions.jsonl has`, 'choose another');
    if (watch === undefined) return { column, metric };
    const { pays, turned } = (watch ?? {}) as Record<string, unknown>;
    if (pays !== 'low' && pays !== 'high') throw fault(`${show(pays)} as "pays" of its watch`, FORM);
    if (!isName(turned)) throw fault(`${show(turned)} as "turned" of its watch`, FORM);
    return { column, metric, watch: { pays, turned } };
  });
}

/** @throws SightlineError E_REWARD_CLASS if two rewards of a run use one column, or one metric, for different signals */
export function checkSignalsAgree(rewards: readonly Reward[]): void {
  const stated = rewards.flatMap(({ name, file, signals = [] }) => signals.map((signal) => ({ name, file, signal })));
  for (const [i, { name, file, signal }] of stated.entries()) {
    const other = stated
      .slice(0, i)
      .find(({ signal: { column, metric } }) => (column === signal.column) !== (metric === signal.metric));
    if (other === undefined) continue;
    throw new SightlineError(
      'E_REWARD_CLASS',
      `rewards "${other.name}" and "${name}" declare different signals: column "${other.signal.column}" as ${other.signal.metric}, column "${signal.column}" as ${signal.metric}`,
      { where: file ?? other.file, hint: 'give one of the two another column and metric' },
    );
  }
}

// --- internal ---

const FORM =
  "write static signals = [{ column: 'looks', metric: 'mine/looks' }], with watch: { pays: 'low' or 'high', turned: 'what it means' } if it is to be watched";

const isName = (value: unknown): value is string => typeof value === 'string' && value !== '';
