/**
 * The three forms of the DDAPO reward, from the ratios of a batch to rewards.
 * Knows numbers, groups and two switches; not where a ratio comes from.
 *
 *   plain (default)      -TDR
 *   centred              -(TDR - 1)                              DDAPO_REWARD_CENTER=1, or --ddapo_reward_center true
 *   group-normalised     -(TDR - mean) / (std + eps) in a group   DDAPO_GROUP_NORM=1, or --ddapo_group_norm true
 *
 * Group-normalised rewards have mean 0 in every group BY CONSTRUCTION. rewards/DDAPOAttentionORM/mean then reads 0 although
 * all is well; the number to watch is attention/tdr_mean. The plain form varies little within a group (its std is a few
 * hundredths), so next to an accuracy of weight 4 it needs a large weight to matter.
 */
import { TDR_EPS } from '../../attention/tdr.ts';
import { SightlineError } from '../../errors.ts';
import type { RewardArgs, RewardFlag } from '../contract.ts';

/** The two switches, as flags of the reward. */
export const FORM_FLAGS = {
  ddapo_reward_center: {
    kind: 'boolean',
    default: false,
    env: 'DDAPO_REWARD_CENTER',
    help: 'ddapo_attention gives -(TDR - 1) instead of -TDR, the text-dominance ratio.',
  },
  ddapo_group_norm: {
    kind: 'boolean',
    default: false,
    env: 'DDAPO_GROUP_NORM',
    help: 'ddapo_attention gives -(TDR - mean) / std of the group. Its logged mean is then 0 in every group by construction; watch attention/tdr_mean.',
  },
} as const satisfies Readonly<Record<string, RewardFlag>>;

export interface Form {
  readonly rewardCenter: boolean;
  /** Takes precedence over rewardCenter. */
  readonly groupNorm: boolean;
}

/** @throws SightlineError E_REWARD_OPTION if a switch is neither on nor off */
export function formOf(args: RewardArgs): Form {
  return {
    rewardCenter: isOn('ddapo_reward_center', args),
    groupNorm: isOn('ddapo_group_norm', args),
  };
}

/**
 * One reward per ratio; null where the ratio is null.
 *
 * @param ratios of consecutive groups of `groupSize`
 * @throws SightlineError E_REWARD_GROUP if the form needs whole groups and one is incomplete
 */
export function rewardsOfRatios(
  ratios: readonly (number | null)[],
  groupSize: number,
  { rewardCenter, groupNorm }: Form,
): (number | null)[] {
  if (groupNorm) return groupNormalised(ratios, groupSize);
  return ratios.map((tdr) => (tdr === null ? null : rewardCenter ? -(tdr - 1) : -tdr));
}

// --- internal ---

/** -(TDR - mean) / (std + eps), with mean and population std of the group, both without samples that have no ratio. */
function groupNormalised(ratios: readonly (number | null)[], groupSize: number): (number | null)[] {
  if (ratios.length % groupSize !== 0) {
    throw new SightlineError(
      'E_REWARD_GROUP',
      `ddapo_attention got ${ratios.length} completions, which is not a multiple of num_generations ${groupSize}`,
      { hint: 'the group-normalised form needs whole groups' },
    );
  }
  return ratios.map((tdr, i) => {
    if (tdr === null) return null;
    const first = i - (i % groupSize);
    const group = ratios.slice(first, first + groupSize).filter((x) => x !== null);
    const mean = group.reduce((sum, x) => sum + x, 0) / group.length;
    const std = Math.sqrt(group.reduce((sum, x) => sum + (x - mean) ** 2, 0) / group.length);
    return -(tdr - mean) / (std + TDR_EPS);
  });
}

/** A switch: the argument if given (every run gives it), else the environment variable, else off. */
function isOn(option: keyof typeof FORM_FLAGS, { [option]: value }: RewardArgs): boolean {
  const variable = FORM_FLAGS[option].env;
  const text = String(value ?? process.env[variable] ?? '').toLowerCase();
  if (['1', 'true', 'yes', 'on'].includes(text)) return true;
  if (['', '0', 'false', 'no', 'off'].includes(text)) return false;
  throw new SightlineError('E_REWARD_OPTION', `ddapo_attention: "${text}" is neither on nor off`, {
    where: value === undefined ? variable : `option ${option}`,
    hint: 'write 1 or 0',
  });
}
