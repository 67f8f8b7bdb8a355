/**
 * Calls the rewards of a run on one batch of completions and checks their results.
 * Knows the contract, not what a reward measures.
 */
import { messageOf, SightlineError } from '../errors.ts';
import { newPatience, type Patience, untilAborted } from '../util/until_aborted.ts';
import type { ORM, RewardKwargs, RewardValues } from './contract.ts';
import { ownKwargs } from './copy_kwargs.ts';
import { show } from './describe_value.ts';
import { checkColumn } from './logged_columns.ts';
import { checkMetric } from './metric.ts';
import type { Reward } from './reward.ts';
import { signalsOf } from './signals.ts';
import { locationIn, locationOfCall } from './source_location.ts';

export interface RewardColumn {
  readonly name: string;
  readonly label: string;
  readonly weight: number;
  /** One per completion; null where the reward does not apply. */
  readonly values: (number | null)[];
  /** Whether it logged an info or a warning in this call. */
  readonly spoke: boolean;
}

/**
 * Calls all rewards on a batch. Asynchronous ones run concurrently. A slow one is reported, and `signal` aborts the wait.
 *
 * @param rows for messages: the position (file and line) of each completion's row
 * @throws SightlineError E_REWARD_THREW, E_REWARD_RETURN, naming the reward, the value (returned or logged), the sample, its
 * row and the line of the plugin; the signal's reason if it is aborted
 */
export async function runRewards(
  rewards: readonly Reward[],
  completions: readonly string[],
  kwargs: RewardKwargs,
  signal: AbortSignal = new AbortController().signal,
  rows?: readonly string[],
): Promise<RewardColumn[]> {
  // allSettled, not all: after a fault the other rewards must settle before the run closes the resources that they use.
  const batch: RewardBatch = { completions, kwargs, rewards, signal, rows };
  const settled = await Promise.allSettled(rewards.map((reward) => runReward(reward, batch)));
  return settled.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

// --- internal ---

/** One per reward, so that a reward that is slow at every step is not reported at every step. */
const patience = new WeakMap<ORM, Patience>();

interface RewardBatch {
  readonly completions: readonly string[];
  readonly kwargs: RewardKwargs;
  /** All rewards of the run. */
  readonly rewards: readonly Reward[];
  readonly signal: AbortSignal;
  readonly rows: readonly string[] | undefined;
}

async function runReward(reward: Reward, batch: RewardBatch): Promise<RewardColumn> {
  const { completions, kwargs, rewards, signal } = batch;
  const tell = (seconds: number) =>
    kwargs.logger.warn(
      `reward "${reward.name}" has not returned after ${seconds} s for ${completions.length} completions; the run waits for it. Ctrl-C ends the run cleanly.`,
    );
  if (!patience.has(reward.orm)) patience.set(reward.orm, newPatience());
  let spoke = false;
  const onMessage = () => {
    spoke = true;
  };
  let returned: RewardValues;
  try {
    const answer = Promise.resolve(
      reward.orm.call([...completions], kwargsFor(reward, { kwargs, rewards }, onMessage)),
    );
    returned = await untilAborted(answer, signal, tell, patience.get(reward.orm));
  } catch (error) {
    if (error instanceof SightlineError || (signal.aborted && error === signal.reason)) throw error;
    throw new SightlineError('E_REWARD_THREW', `reward "${reward.name}" threw: ${messageOf(error)}`, {
      where: reward.file === undefined ? undefined : locationIn(error, reward.file),
      hint: 'return null for a sample the reward cannot judge',
      cause: error,
    });
  }
  return {
    name: reward.name,
    label: reward.label,
    weight: reward.weight,
    values: checked(reward, returned, batch),
    spoke,
  };
}

/** A reward's own copy of the arguments, with checks on the metrics and columns it logs and a notice of its messages. */
function kwargsFor(
  reward: Reward,
  { kwargs, rewards }: Pick<RewardBatch, 'kwargs' | 'rewards'>,
  onMessage: () => void,
): RewardKwargs {
  const { logger, log_metric, log_extra } = kwargs;
  const signals = signalsOf(rewards);
  const noticed = (level: 'info' | 'warn') => (line: string) => {
    onMessage();
    logger[level](line);
  };
  return {
    ...ownKwargs(kwargs),
    logger: { debug: (line) => logger.debug(line), info: noticed('info'), warn: noticed('warn') },
    log_metric: (name, value) => {
      checkMetric(reward, name, value, signals);
      log_metric(name, value);
    },
    log_extra: (column, values) => {
      checkColumn(reward, column, rewards);
      log_extra(column, values);
    },
  };
}

function checked(reward: Reward, returned: unknown, { completions, kwargs, rows }: RewardBatch): (number | null)[] {
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

/** Largest magnitude of a value, and of a value times its weight; keeps sums and squares far from overflow. */
const LARGEST = 1e30;
