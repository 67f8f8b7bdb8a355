/**
 * Runs the rewards of a run on one batch of completions and checks what they return.
 * Knows the contract, not what any reward measures.
 */
import { messageOf, SightlineError } from '../errors.ts';
import { newPatience, type Patience, untilAborted } from '../util/until_aborted.ts';
import type { ORM, RewardKwargs, RewardValues } from './contract.ts';
import { ownKwargs } from './copy_kwargs.ts';
import { type FailureRule, maySkip, NO_LIMIT, startDeadline } from './deadline.ts';
import { show } from './describe_value.ts';
import { checkColumn } from './logged_columns.ts';
import { checkMetric } from './metric.ts';
import type { Reward } from './reward.ts';
import { signalsOf } from './signals.ts';
import { placeIn, placeOfCall } from './source_location.ts';

export interface RewardColumn {
  readonly name: string;
  readonly label: string;
  readonly weight: number;
  /** One per completion; null where the reward does not apply. */
  readonly values: (number | null)[];
  /** It told the reader of the run something in this call. */
  readonly spoke: boolean;
}

export interface RunOptions {
  /** Ends the wait. */
  readonly signal?: AbortSignal | undefined;
  /** Where the row of each completion stands, for messages. */
  readonly rows?: readonly string[];
  /** Default: no limit, and a reward that fails ends the run. */
  readonly rule?: FailureRule;
}

/**
 * All rewards of a batch. They start together, so asynchronous ones run side by side; one that takes long is told of.
 *
 * @throws SightlineError E_REWARD_RETURN: naming the reward, the value (returned or logged), the sample, its row and the line
 * of the plugin; E_REWARD_THREW, E_REWARD_TIMEOUT and errors of the rewards' own, unless the rule lets them pass; or the
 * signal's reason
 */
export async function runRewards(
  rewards: readonly Reward[],
  completions: readonly string[],
  kwargs: RewardKwargs,
  { signal = new AbortController().signal, rows, rule = NO_LIMIT }: RunOptions = {},
): Promise<RewardColumn[]> {
  // allSettled, not all: after one fault the others must have ended before the run does, or they would go on in its ruins.
  const batch: RewardBatch = { completions, kwargs, rewards, signal, rows, rule };
  const settled = await Promise.allSettled(rewards.map((reward) => runReward(reward, batch)));
  return settled.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

// --- internal ---

/** Of each reward, so that one that is slow at every step is not told of at every step. */
const patience = new WeakMap<ORM, Patience>();

interface RewardBatch {
  readonly completions: readonly string[];
  readonly kwargs: RewardKwargs;
  /** All that judge it. */
  readonly rewards: readonly Reward[];
  readonly signal: AbortSignal;
  readonly rows: readonly string[] | undefined;
  readonly rule: FailureRule;
}

async function runReward(reward: Reward, batch: RewardBatch): Promise<RewardColumn> {
  const { name, label, weight } = reward;
  const { completions, signal, kwargs, rule } = batch;
  const call = { spoke: false, over: false };
  let values: (number | null)[];
  try {
    values = checked(reward, await answerOf(reward, batch, call), batch);
  } catch (error) {
    if (rule.onError === 'stop' || signal.aborted || !maySkip(error)) throw error;
    tellSkipped(reward, error, completions.length, kwargs);
    values = completions.map(() => null);
    call.spoke = true;
  } finally {
    call.over = true;
  }
  return { name, label, weight, values, spoke: call.spoke };
}

/** What is known of one call of a reward. */
interface Call {
  /** It told the reader of the run something. */
  spoke: boolean;
  /** Its answer is no longer awaited: what it logs from now on is dropped. */
  over: boolean;
}

async function answerOf(reward: Reward, batch: RewardBatch, call: Call): Promise<RewardValues> {
  const { completions, kwargs, rule } = batch;
  const tell = (seconds: number) =>
    kwargs.logger.warn(
      `reward "${reward.name}" has not answered for ${seconds} s, asked about ${completions.length} completions; the run waits for it. Ctrl-C ends the run in good order.`,
    );
  if (!patience.has(reward.orm)) patience.set(reward.orm, newPatience());
  // An attention reward runs the policy itself. Left to itself after a deadline, it would do so while the policy is trained.
  const timeout = reward.needs.includes('attention') ? null : rule.timeout;
  const deadline = startDeadline(reward.name, completions.length, timeout, batch.signal);
  try {
    const answer = reward.orm.call([...completions], handed(reward, batch, deadline.signal, call));
    return await untilAborted(Promise.resolve(answer), deadline.signal, tell, patience.get(reward.orm));
  } catch (error) {
    if (deadline.signal.aborted) throw deadline.signal.reason;
    if (error instanceof SightlineError) throw error;
    throw new SightlineError('E_REWARD_THREW', `reward "${reward.name}" threw: ${messageOf(error)}`, {
      where: reward.file === undefined ? undefined : placeIn(error, reward.file),
      hint: 'return null for a sample the reward cannot judge',
      cause: error,
    });
  } finally {
    deadline.end();
  }
}

/** How often a reward was passed over, and how often until it is told again. */
const skips = new WeakMap<ORM, { count: number; next: number }>();

/** Told the first time and each time the number has doubled: a judge that is gone would be told of at every step. */
function tellSkipped({ orm, name, label }: Reward, error: SightlineError, samples: number, kwargs: RewardKwargs): void {
  const skipped = skips.get(orm) ?? { count: 0, next: 1 };
  skips.set(orm, skipped);
  if (++skipped.count < skipped.next) return;
  skipped.next *= 2;
  const times = skipped.count === 1 ? '' : `, ${skipped.count} times so far`;
  kwargs.logger.warn(
    `${error.message}. Its values are null for these ${samples} completions (--reward_error skip)${times}; rewards/${label}/null_frac counts them. Told again for "${name}" after ${skipped.next} times.`,
  );
}

/** Its own arguments, whose metrics and columns are checked and whose words are noticed. */
function handed(
  reward: Reward,
  { kwargs, rewards }: Pick<RewardBatch, 'kwargs' | 'rewards'>,
  deadline: AbortSignal,
  call: Call,
): RewardKwargs {
  const { logger, log_metric, log_extra } = kwargs;
  const signals = signalsOf(rewards);
  const isOver = (): boolean => call.over || deadline.aborted;
  const speak = (level: 'debug' | 'info' | 'warn') => (line: string) => {
    if (isOver()) return;
    call.spoke ||= level !== 'debug';
    logger[level](line);
  };
  return {
    ...ownKwargs(kwargs),
    signal: deadline,
    logger: { debug: speak('debug'), info: speak('info'), warn: speak('warn') },
    log_metric: (name, value) => {
      if (isOver()) return;
      checkMetric(reward, name, value, signals);
      log_metric(name, value);
    },
    log_extra: (column, values) => {
      if (isOver()) return;
      checkColumn(reward, column, rewards);
      log_extra(column, values);
    },
  };
}

function checked(reward: Reward, returned: unknown, { completions, kwargs, rows }: RewardBatch): (number | null)[] {
  const samples = completions.length;
  const fault = (message: string, hint: string) =>
    new SightlineError('E_REWARD_RETURN', `reward "${reward.name}" returned ${message}`, {
      where: placeOfCall(reward.orm, reward.file),
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
      throw fault(`${value} for ${sample(i)}`, `a value is at most ${LARGEST} in size; scale the reward or bound it`);
    }
    const weighted = reward.weight * value;
    if (Math.abs(weighted) > LARGEST) {
      throw fault(
        `${value} for ${sample(i)}, which is ${Number(weighted.toPrecision(6))} with its weight ${reward.weight}`,
        `a weighted value is at most ${LARGEST} in size; lower its weight in --reward_weights`,
      );
    }
    return value;
  });
}

/** Of a value, and of a value times its weight: sums of them and their squares are then far from overflowing. */
const LARGEST = 1e30;
