/**
 * Verdicts on the values of rewards: none, constant, unparsed, clamped, cancelled, or without weight.
 */
import type { CompletionFacts, Example, RewardFacts, RunLog } from '../run_log.ts';
import { curveOf, rewardLabels } from '../run_log.ts';
import type { Verdict } from '../verdict.ts';

export function rewardVerdicts(log: RunLog): Verdict[] {
  const { completions } = log;
  return [
    ...weightZero(log),
    ...failures(log),
    ...(completions === null
      ? allNullInLog(log)
      : completions.rewards.flatMap((facts) => ofReward(facts, completions))),
    ...cancelled(log),
  ];
}

// --- internal ---

function weightZero({ args }: RunLog): Verdict[] {
  const { reward_weights: weights, reward_funcs: names } = args;
  if (!Array.isArray(weights) || !Array.isArray(names)) return [];
  const without = names.filter((_, i) => weights[i] === 0);
  if (without.length === 0) return [];
  const isAll = without.length === names.length;
  return [
    {
      code: 'WEIGHT_ZERO',
      severity: isAll ? 'severe' : 'warning',
      seen: `--reward_weights is 0 for ${without.join(', ')}`,
      why: isAll ? 'every advantage is 0, so nothing is learned' : 'such a reward is logged but not learned from',
      fix: 'give it a weight in --reward_weights, or leave it out of --reward_funcs',
    },
  ];
}

/** What the run has warned about in its notices. */
function failures({ notices }: RunLog): Verdict[] {
  const kinds = [
    {
      code: 'PLUGIN_THREW',
      pattern: /reward "[^"]+" threw/,
      fix: 'mend the line that the message names; --reward_error stop ends a run at once',
    },
    {
      code: 'PLUGIN_TIMEOUT',
      pattern: /reward "[^"]+" has not answered/,
      fix: 'look at what the reward waits for, or raise --reward_timeout',
    },
  ] as const;
  return kinds.flatMap(({ code, pattern, fix }): Verdict[] => {
    const found = notices.filter(({ text }) => pattern.test(text));
    const [first] = found;
    if (first === undefined) return [];
    return [
      {
        code,
        severity: 'severe',
        seen: `${found.length} times, first at step ${first.step}: ${cut(first.text)}`,
        why: 'the reward is null for these completions, so only the others count',
        fix,
      },
    ];
  });
}

/** Without completions.jsonl, the share of nulls tells. */
function allNullInLog(log: RunLog): Verdict[] {
  return rewardLabels(log.records).flatMap((label): Verdict[] => {
    const nulls = curveOf(log, `rewards/${label}/null_frac`);
    return nulls.length > 0 && nulls.every(([, value]) => value === 1)
      ? [allNull(label, `rewards/${label}/null_frac is 1 in all ${nulls.length} records`)]
      : [];
  });
}

function ofReward(facts: RewardFacts, { groups }: CompletionFacts): Verdict[] {
  const { name, count, nulls, zeros, least, greatest, distinct, misses, groupsThatDiffer } = facts;
  if (count === 0) return [];
  if (nulls === count) {
    const known = unparsed(facts);
    return known ?? [allNull(name, `reward ${name} is null for all ${count} completions`)];
  }
  const numbers = count - nulls;
  if (zeros === numbers && /format/i.test(name)) {
    return [
      {
        code: 'FORMAT_NO_MATCH',
        severity: 'severe',
        seen: `reward ${name} is 0 for all ${numbers} completions; the last ones: ${shown(misses)}`,
        why: 'no completion has the form <think>…</think><answer>…</answer> from its first to its last character',
        fix: 'ask for the form in --system, raise --max_completion_length if they are cut off, or teach the form with sightline sft first',
      },
    ];
  }
  if (zeros === numbers && misses.some(({ solution }) => solution !== null)) return unparsed(facts) ?? [];
  const share = Math.max(facts.atLeast, facts.atGreatest) / numbers;
  if (distinct.size > 8 && share > 0.5 && groupsThatDiffer < groups) {
    const bound = facts.atLeast > facts.atGreatest ? least : greatest;
    return [
      {
        code: 'CLAMPED',
        severity: 'warning',
        seen: `reward ${name} is exactly ${Number(bound.toPrecision(6))}, its ${bound === least ? 'least' : 'greatest'} value, for ${(100 * share).toFixed(0)}% of ${numbers} completions`,
        why: 'values beyond a bound are cut to it, so completions beyond it cannot be told apart',
        fix: 'look at the values before the bound (a clip or tanh in the reward), and widen or rescale it',
      },
    ];
  }
  return [];
}

/** A reward that compares with `solution` and never finds an answer, or finds only wrong ones. */
function unparsed({ name, count, nulls, misses }: RewardFacts): Verdict[] | null {
  if (!/acc|math|iou|choice/i.test(name) || misses.length === 0) return null;
  return [
    {
      code: 'ANSWER_UNPARSED',
      severity: 'severe',
      seen: `reward ${name} is ${nulls === count ? 'null' : '0'} for all ${count} completions; the last ones: ${shown(misses)}`,
      why: 'no answer is found in the completions, or none equals the column "solution"',
      fix: 'compare the completions with their solutions: ask for <answer>…</answer> in --system, write solutions in the form of the answers, or begin with easier rows',
    },
  ];
}

function allNull(name: string, seen: string): Verdict {
  return {
    code: 'ALL_NULL',
    severity: 'severe',
    seen,
    why: `null means that ${name} does not apply or could not be computed; it counts for nothing`,
    fix: 'check the columns and images that it needs (docs/rewards.md), and the warnings of the run',
  };
}

function cancelled({ completions }: RunLog): Verdict[] {
  if (completions === null || completions.firstCancelled === null) return [];
  const { cancelled: count, groups, firstCancelled } = completions;
  if (count / groups < 0.1) return [];
  return [
    {
      code: 'REWARDS_CANCEL',
      severity: count === groups ? 'severe' : 'warning',
      seen: `in ${count} of ${groups} groups single rewards differ, but every advantage is 0 (first: step ${firstCancelled.step}, ${firstCancelled.where})`,
      why: 'the weighted rewards of a group add up to the same sum, so nothing is learned from it',
      fix: 'give the rewards other --reward_weights, so that they do not pay against each other one to one',
    },
  ];
}

const cut = (text: string): string => (text.length > 160 ? `${text.slice(0, 159)}…` : text).replaceAll('\n', ' ');

const shown = (examples: readonly Example[]): string =>
  examples
    .map(({ step, where, text, solution }) => {
      const expected = solution === null ? '' : `, solution ${cut(solution)}`;
      return `step ${step}, ${where}: "${cut(text)}"${expected}`;
    })
    .join('; ');
