/**
 * Calls the rewards of a run on one batch of completions and checks their results.
 * Knows the contract, not what a reward measures.
 */
import { messageOf, SightlineError } from '../errors.ts';
import { newPatience, type Patience, untilAborted } from '../util/until_aborted.ts';
import type { ORM, RewardKwargs, RewardValues } from './contract.ts';
import { ownKwargs } from './copy_kwargs.ts';
import { type FailureRule, maySkip, NO_LIMIT, startDeadline } from './deadline.ts';
import { checkFactors, checkTokenWeights } from './learning_hooks.ts';
import { checkColumn } from './logged_columns.ts';
import { checkMetric } from './metric.ts';
import { checkedValues } from './returned.ts';
import type { Reward } from './reward.ts';
import { signalsOf } from './signals.ts';
import { locationIn } from './source_location.ts';

export interface RewardColumn {
  readonly name: string;
  readonly label: string;
  readonly weight: number;
  /** One per completion; null where the reward does not apply. */
  readonly values: (number | null)[];
  /** Whether it logged an info or a warning in this call. */
  readonly spoke: boolean;
}

export interface RunOptions {
  /** Aborts the wait. */
  readonly signal?: AbortSignal | undefined;
  /** For messages: the position (file and line) of each completion's row. */
  readonly rows?: readonly string[];
  /** Default: no time limit, and a reward that fails ends the run. */
  readonly rule?: FailureRule;
}

/**
 * Calls all rewards on a batch. They start together, so asynchronous ones run concurrently. A slow one is reported.
 *
 * @throws SightlineError E_REWARD_RETURN, naming the reward, the value (returned or logged), the sample, its row and the line
 * of the plugin; E_REWARD_THREW, E_REWARD_TIMEOUT and errors of the rewards themselves, unless the rule skips them; the
 * signal's reason if it is aborted
 */
export async function runRewards(
  rewards: readonly Reward[],
  completions: readonly string[],
  kwargs: RewardKwargs,
  { signal = new AbortController().signal, rows, rule = NO_LIMIT }: RunOptions = {},
): Promise<RewardColumn[]> {
  // allSettled, not all: after a fault the other rewards must settle before the run closes the resources that they use.
  const batch: RewardBatch = { completions, kwargs, rewards, signal, rows, rule };
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
  readonly rule: FailureRule;
}

async function runReward(reward: Reward, batch: RewardBatch): Promise<RewardColumn> {
  const { name, label, weight } = reward;
  const { completions, signal, kwargs, rule } = batch;
  const call = { spoke: false, over: false };
  let values: (number | null)[];
  try {
    values = checkedValues(reward, await answerOf(reward, batch, call), batch);
  } catch (error) {
    if (rule.onError === 'stop' || signal.aborted || !maySkip(error)) throw error;
    warnOfSkip(reward, error, completions.length, kwargs);
    values = completions.map(() => null);
    call.spoke = true;
  } finally {
    call.over = true;
  }
  return { name, label, weight, values, spoke: call.spoke };
}

/** The state of one call of a reward. */
interface Call {
  /** The reward has logged an info line or a warning. */
  spoke: boolean;
  /** The call has ended, or its answer is no longer awaited. What the reward logs afterwards is dropped. */
  over: boolean;
}

async function answerOf(reward: Reward, batch: RewardBatch, call: Call): Promise<RewardValues> {
  const { completions, kwargs, rule } = batch;
  const tell = (seconds: number) =>
    kwargs.logger.warn(
      `reward "${reward.name}" has not returned after ${seconds} s for ${completions.length} completions; the run waits for it. Ctrl-C ends the run cleanly.`,
    );
  if (!patience.has(reward.orm)) patience.set(reward.orm, newPatience());
  // An attention reward runs the policy. After a deadline, it would still do so while the policy is being trained.
  const timeout = reward.needs.includes('attention') ? null : rule.timeout;
  const deadline = startDeadline(reward.name, completions.length, timeout, batch.signal);
  try {
    const answer = reward.orm.call([...completions], kwargsFor(reward, batch, deadline.signal, call));
    return await untilAborted(Promise.resolve(answer), deadline.signal, tell, patience.get(reward.orm));
  } catch (error) {
    if (deadline.signal.aborted) throw deadline.signal.reason;
    if (error instanceof SightlineError) throw error;
    throw new SightlineError('E_REWARD_THREW', `reward "${reward.name}" threw: ${messageOf(error)}`, {
      where: reward.file === undefined ? undefined : locationIn(error, reward.file),
      hint: 'return null for a sample the reward cannot judge',
      cause: error,
    });
  } finally {
    deadline.end();
  }
}

/** Of each reward: how often it was skipped, and the count at which the next warning is printed. */
const skips = new WeakMap<ORM, { count: number; next: number }>();

/** Warns the first time and each time the count has doubled, because a judge that is gone fails at every step. */
function warnOfSkip({ orm, name, label }: Reward, error: SightlineError, samples: number, kwargs: RewardKwargs): void {
  const skipped = skips.get(orm) ?? { count: 0, next: 1 };
  skips.set(orm, skipped);
  if (++skipped.count < skipped.next) return;
  skipped.next *= 2;
  const times = skipped.count === 1 ? '' : `, ${skipped.count} times so far`;
  kwargs.logger.warn(
    `${error.message}. Its values are null for these ${samples} completions (--reward_error skip)${times}; rewards/${label}/null_frac counts them. The next warning about "${name}" comes after ${skipped.next} times.`,
  );
}

/** A reward's own copy of the arguments, with checks on the metrics and columns it logs and a notice of its messages. */
function kwargsFor(
  reward: Reward,
  { kwargs, rewards }: Pick<RewardBatch, 'kwargs' | 'rewards'>,
  deadline: AbortSignal,
  call: Call,
): RewardKwargs {
  const { logger, log_metric, log_extra, scale_advantages, weigh_tokens } = kwargs;
  const signals = signalsOf(rewards);
  const isOver = (): boolean => call.over || deadline.aborted;
  const noticed = (level: 'debug' | 'info' | 'warn') => (line: string) => {
    if (isOver()) return;
    call.spoke ||= level !== 'debug';
    logger[level](line);
  };
  return {
    ...ownKwargs(kwargs),
    signal: deadline,
    logger: { debug: noticed('debug'), info: noticed('info'), warn: noticed('warn') },
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
    scale_advantages: (factors) => {
      if (isOver()) return;
      checkFactors(reward, 'scale_advantages', factors, kwargs.completion_ids.length);
      scale_advantages(factors);
    },
    weigh_tokens: (weights) => {
      if (isOver()) return;
      checkTokenWeights(reward, weights, kwargs.completion_ids);
      weigh_tokens(weights);
    },
  };
}
