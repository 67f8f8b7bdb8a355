/**
 * Runs the rewards of a run on one batch of completions and checks what they return.
 * Knows the contract, not what any reward measures.
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

/**
 * All rewards of a batch. Asynchronous ones run together; one that takes long is told of, and `signal` ends the wait.
 *
 * @param rows where the row of each completion stands, for messages
 * @throws SightlineError E_REWARD_THREW, E_REWARD_RETURN: naming the reward, the value (returned or logged), the sample, its
 * row and the line of the plugin; or the signal's reason
 */
export async function runRewards(
  rewards: readonly Reward[],
  completions: readonly string[],
  kwargs: RewardKwargs,
  signal: AbortSignal = new AbortController().signal,
  rows?: readonly string[],
): Promise<RewardColumn[]> {
  // allSettled, not all: after one fault the others must have ended before the run does, or they would go on in its ruins.
  const batch: RewardBatch = { completions, kwargs, rewards, signal, rows };
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
}

async function runReward(reward: Reward, batch: RewardBatch): Promise<RewardColumn> {
  const { completions, kwargs, rewards, signal } = batch;
  const tell = (seconds: number) =>
    kwargs.logger.warn(
      `reward "${reward.name}" has not answered for ${seconds} s, asked about ${completions.length} completions; the run waits for it. Ctrl-C ends the run in good order.`,
    );
  if (!patience.has(reward.orm)) patience.set(reward.orm, newPatience());
  let spoke = false;
  const onSpeech = () => {
    spoke = true;
  };
  let returned: RewardValues;
  try {
    const answer = Promise.resolve(reward.orm.call([...completions], handed(reward, { kwargs, rewards }, onSpeech)));
    returned = await untilAborted(answer, signal, tell, patience.get(reward.orm));
  } catch (error) {
    if (error instanceof SightlineError || (signal.aborted && error === signal.reason)) throw error;
    throw new SightlineError('E_REWARD_THREW', `reward "${reward.name}" threw: ${messageOf(error)}`, {
      where: reward.file === undefined ? undefined : placeIn(error, reward.file),
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

/** Its own arguments, whose metrics and columns are checked and whose words are noticed. */
function handed(
  reward: Reward,
  { kwargs, rewards }: Pick<RewardBatch, 'kwargs' | 'rewards'>,
  onSpeech: () => void,
): RewardKwargs {
  const { logger, log_metric, log_extra } = kwargs;
  const signals = signalsOf(rewards);
  const speak = (level: 'info' | 'warn') => (line: string) => {
    onSpeech();
    logger[level](line);
  };
  return {
    ...ownKwargs(kwargs),
    logger: { debug: (line) => logger.debug(line), info: speak('info'), warn: speak('warn') },
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
