/**
 * Judges the completions of a request: builds the arguments of the rewards' contract and returns values, metrics and columns.
 * Uses the same runner and checks as `sightline rlhf`. Knows neither HTTP nor the policy, which is in another process.
 */
import { parseRow, type Row } from '../data/row.ts';
import { SightlineError } from '../errors.ts';
import type { PolicyModel } from '../models/types.ts';
import { columnArrays } from '../rewards/columns.ts';
import type { RewardKwargs } from '../rewards/contract.ts';
import { type FailureRule, NO_LIMIT } from '../rewards/deadline.ts';
import { PLAIN_TEMPLATE } from '../rewards/plain_template.ts';
import type { Reward } from '../rewards/reward.ts';
import { runRewards } from '../rewards/run.ts';
import { signalMetrics } from '../train/signals.ts';
import { type Json, toJson } from '../util/json.ts';
import { pictureOf } from './pictures.ts';
import type { JudgeRequest } from './request.ts';

export interface Judged {
  /** One value per completion; null if the reward does not apply. */
  readonly values: readonly (number | null)[];
  readonly metrics: Readonly<Record<string, number>>;
  readonly columns: Readonly<Record<string, readonly Json[]>>;
  /** Messages that the reward logged. */
  readonly lines: readonly Line[];
}

export interface Line {
  readonly level: 'debug' | 'info' | 'warn';
  readonly text: string;
}

/** Errors: those of a reward that throws or returns an invalid value; on abort, the signal's reason. */
export async function judgeRequest(
  request: JudgeRequest,
  reward: Reward,
  signal: AbortSignal,
  rule: FailureRule = NO_LIMIT,
): Promise<Judged> {
  const { completions, rows, prompt_ids, completion_ids, system_prefix, image_token_id, video_token_id } = request;
  const lines: Line[] = [];
  const metrics: Record<string, number> = {};
  const columns = new Map<string, readonly Json[]>();
  const log = (level: Line['level']) => (text: string) => void lines.push({ level, text });
  const parsed = rows.map((row, i) => parsedRow(row, i, log('warn')));
  const kwargs: RewardKwargs = {
    ...columnArrays(
      parsed.map((row) => row.columns),
      reward.columns,
    ),
    trainer_state: { global_step: request.step, max_steps: request.max_steps },
    num_generations: request.num_generations,
    prompt_ids: prompt_ids.map((list) => Int32Array.from(list)),
    completion_ids: completion_ids.map((list) => Int32Array.from(list)),
    messages: parsed.map((row) => row.messages),
    images: request.images.map((pictures) => pictures.map(pictureOf)),
    norm_bbox: null, // not in the request
    system_prefix,
    image_token_id,
    video_token_id,
    model: absentModel(reward.name),
    template: PLAIN_TEMPLATE,
    attn_probe: 'fused',
    attention_masses: request.attention_masses,
    attention: {},
    changed_images: {},
    logger: { debug: log('debug'), info: log('info'), warn: log('warn') },
    signal,
    log_metric: (name, value) => {
      metrics[name] = value;
    },
    log_extra: (column, values) => {
      if (values.length !== completions.length) {
        throw new RangeError(
          `log_extra('${column}') got ${values.length} values for ${completions.length} completions`,
        );
      }
      columns.set(column, values.map(toJson));
    },
    scale_advantages: () => refuseHook(reward.name, 'scale_advantages'),
    weigh_tokens: () => refuseHook(reward.name, 'weigh_tokens'),
  };
  const [result] = await runRewards([reward], completions, kwargs, {
    signal,
    rule,
    rows: parsed.map(({ where }) => where),
  });
  return {
    values: result!.values,
    metrics: { ...metrics, ...signalMetrics([reward], [{ extras: columns }]) },
    columns: Object.fromEntries(columns),
    lines,
  };
}

// --- internal ---

type ParsedRow = Pick<Row, 'where'> & { readonly messages: readonly unknown[]; readonly columns: Row['columns'] };

/**
 * The row in the form that rewards get in `sightline rlhf`. ms-swift accepts rows that sightline refuses, for instance with
 * videos; these are passed on unchanged.
 */
function parsedRow(row: Readonly<Record<string, unknown>>, index: number, warn: (text: string) => void): ParsedRow {
  const where = `completion ${index} of the batch`;
  try {
    return parseRow(row, { index, where, base: process.cwd() });
  } catch (error) {
    if (!(error instanceof SightlineError)) throw error;
    warn(`rewards get the row in ms-swift's form, because sightline cannot read it: ${error.message}`);
    const { messages, images: _, ...columns } = row;
    return { where, messages: Array.isArray(messages) ? messages : [], columns };
  }
}

function refuseHook(reward: string, hook: string): never {
  throw new SightlineError(
    'E_REWARD_NOT_HERE',
    `reward "${reward}" calls ${hook}, which ms-swift has no counterpart of`,
    {
      hint: 'train with --engine sightline',
    },
  );
}

/** Stands in for the policy, which is in the trainer's process. Any use of it throws E_REWARD_NOT_HERE. */
function absentModel(reward: string): PolicyModel {
  const refuse = (): never => {
    throw new SightlineError(
      'E_REWARD_NOT_HERE',
      `reward "${reward}" calls the policy, which is not available in this process`,
      { hint: "use kwargs.attention_masses, and declare `static needs = ['attention']`" },
    );
  };
  return {
    config: {},
    is_gradient_checkpointing: false,
    gradient_checkpointing_disable: refuse,
    gradient_checkpointing_enable: refuse,
    forward: refuse,
  };
}
