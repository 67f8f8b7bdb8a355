/**
 * The table of rewards by the names used in `--reward_funcs`, and the construction of a run's rewards.
 * Knows names and classes; knows nothing about completions or the loading of plugins.
 */
import { messageOf, SightlineError } from '../errors.ts';
import { nearestName } from '../util/nearest_name.ts';
import { MathAccuracy } from './accuracy/index.ts';
import { AttentionEntropy } from './attention_entropy/index.ts';
import type { BUILT_IN_REWARDS } from './built_in.ts';
import type { ORM, OrmConstructor, RewardArgs, RewardNeed } from './contract.ts';
import { ownCopy } from './copy_kwargs.ts';
import { CosineReward } from './cosine/index.ts';
import { DDAPOAttentionORM } from './ddapo_attention/index.ts';
import { show } from './describe_value.ts';
import { Format } from './format/index.ts';
import { HttpJudge } from './http_judge/index.ts';
import { IoU } from './iou/index.ts';
import { MultipleChoice } from './multiple_choice/index.ts';
import { isNeed, KNOWN_NEEDS, regionColumnsOf } from './needs.ts';
import { MultiModalAccuracyORM } from './r1v_accuracy/index.ts';
import { RegionAttention } from './region_attention/index.ts';
import { RepetitionPenalty } from './repetition/index.ts';
import type { Reward } from './reward.ts';
import { checkSignalsAgree, statedSignals } from './signals.ts';
import { SoftOverlong } from './soft_overlong/index.ts';
import { locationIn } from './source_location.ts';
import { VGRReward } from './vgr/index.ts';
import { VisualDecline } from './visual_decline/index.ts';

const builtIn: Record<(typeof BUILT_IN_REWARDS)[number], OrmConstructor> = {
  accuracy: MathAccuracy,
  attention_entropy: AttentionEntropy,
  format: Format,
  external_r1v_acc: MultiModalAccuracyORM,
  ddapo_attention: DDAPOAttentionORM,
  cosine: CosineReward,
  repetition: RepetitionPenalty,
  soft_overlong: SoftOverlong,
  iou: IoU,
  region_attention: RegionAttention,
  multiple_choice: MultipleChoice,
  http_judge: HttpJudge,
  vgr: VGRReward,
  visual_decline: VisualDecline,
};

/** Rewards by name. A plugin registers by assignment: `orms['my_reward'] = MyReward`. */
export const orms: Record<string, OrmConstructor> = Object.assign(Object.create(null), builtIn);

/** The plugin file that registered a reward, by reward name; built-in rewards are absent. */
export const ormFiles = new Map<string, string>();

/**
 * Creates the rewards of a run.
 *
 * @param args the run's arguments by flag name; passed to every constructor
 * @param weights one per reward; undefined: all 1
 * @param options by reward name; override `args` for that reward
 * @throws SightlineError E_REWARD_UNKNOWN, E_REWARD_WEIGHTS, E_REWARD_CLASS, E_REWARD_THREW
 */
export function createRewards(
  names: readonly string[],
  args: RewardArgs = {},
  weights?: readonly number[],
  options: Readonly<Record<string, RewardArgs>> = {},
): readonly Reward[] {
  if (weights !== undefined && weights.length !== names.length) {
    throw new SightlineError(
      'E_REWARD_WEIGHTS',
      `${weights.length} reward weights for ${names.length} rewards (${names.join(' ')})`,
      { where: '--reward_weights', hint: 'give one weight per reward, in the order of --reward_funcs' },
    );
  }
  const bad = weights?.find((weight) => !Number.isFinite(weight));
  if (bad !== undefined) {
    throw new SightlineError('E_REWARD_WEIGHTS', `reward weight ${bad} is not a finite number`, {
      where: '--reward_weights',
    });
  }
  const unused = Object.keys(options).find((name) => !names.includes(name));
  if (unused !== undefined) {
    throw new SightlineError('E_REWARD_UNKNOWN', `options for reward "${unused}", which is not in --reward_funcs`, {
      hint: `rewards of this run: ${names.join(', ')}`,
    });
  }
  const rewards = names.map((name, i) =>
    createReward(name, ownCopy({ ...args, ...options[name] }) as RewardArgs, weights?.[i] ?? 1),
  );
  checkSignalsAgree(rewards);
  return withUniqueLabels(rewards);
}

// --- internal ---

/**
 * Rewards with equal labels get their registered names, which are unique, as labels. Such a name may equal the class name of
 * a third reward, which then gets its registered name too; hence the recursion.
 */
function withUniqueLabels(rewards: readonly Reward[]): readonly Reward[] {
  const clashes = ({ name, label }: Reward) => rewards.some((other) => other.label === label && other.name !== name);
  const isRelabelled = (reward: Reward) => reward.label !== reward.name && clashes(reward);
  if (!rewards.some(isRelabelled)) return rewards;
  return withUniqueLabels(rewards.map((reward) => (isRelabelled(reward) ? { ...reward, label: reward.name } : reward)));
}

function createReward(name: string, args: RewardArgs, weight: number): Reward {
  const Orm = orms[name];
  const file = ormFiles.get(name);
  if (Orm === undefined) {
    const known = Object.keys(orms).sort();
    const near = nearestName(name, known);
    throw new SightlineError('E_REWARD_UNKNOWN', `no reward is registered as "${name}"`, {
      where: '--reward_funcs',
      hint: `${near === null ? '' : `did you mean "${near}"? `}known: ${known.join(', ')}; others come from --external_plugins FILE.ts with orms['${name}'] = ...`,
    });
  }
  if (typeof Orm !== 'function' || typeof Orm.prototype?.call !== 'function') {
    throw new SightlineError(
      'E_REWARD_CLASS',
      `orms['${name}'] is not a class with a method call(completions, kwargs)`,
      {
        where: file,
        hint: `write: class MyReward { call(completions, kwargs) { return completions.map(() => 0); } }  orms['${name}'] = MyReward;`,
      },
    );
  }
  const needs = needsOf(name, Orm, file);
  const columns = [...new Set([...columnsOf(name, Orm, file), ...regionColumnsOf(needs)])];
  const signals = statedSignals(name, Orm, file);
  return {
    name,
    label: Orm.name || name,
    orm: construct(name, Orm, args, file),
    weight,
    needs,
    columns,
    signals,
    file,
  };
}

/** Refuses unknown needs: the trainer would not prepare them, and the reward would run without. */
function needsOf(name: string, Orm: OrmConstructor, file: string | undefined): readonly RewardNeed[] {
  const needs = Orm.needs ?? [];
  const unknown = Array.isArray(needs) ? needs.find((need) => !isNeed(need)) : needs;
  if (unknown === undefined) return needs;
  throw new SightlineError('E_REWARD_CLASS', `reward "${name}" has \`static needs\` with ${show(unknown)}`, {
    where: file,
    hint: `write a list; known: ${KNOWN_NEEDS}`,
  });
}

function columnsOf(name: string, Orm: OrmConstructor, file: string | undefined): readonly string[] {
  const columns: unknown = Orm.columns ?? [];
  const isName = (column: unknown): boolean => typeof column === 'string' && column !== '';
  const names = Array.isArray(columns) ? Array.from(columns) : null; // without the holes of a sparse array
  if (names?.every(isName)) return names as string[];
  const wrong = names === null ? columns : names.find((column) => !isName(column));
  throw new SightlineError('E_REWARD_CLASS', `reward "${name}" has \`static columns\` with ${show(wrong)}`, {
    where: file,
    hint: "write a list of names of the dataset's columns, such as ['solution']",
  });
}

function construct(name: string, Orm: OrmConstructor, args: RewardArgs, file: string | undefined): ORM {
  try {
    return new Orm(args);
  } catch (error) {
    if (error instanceof SightlineError) throw error;
    throw new SightlineError('E_REWARD_THREW', `reward "${name}" threw in its constructor: ${messageOf(error)}`, {
      where: file === undefined ? undefined : locationIn(error, file),
      hint: 'fix the constructor; it is called with the arguments of the run, by flag name',
      cause: error,
    });
  }
}
