/**
 * Verdicts on what is learned from: completions that are all cut off, groups whose rewards do not differ, numbers that are not finite.
 */
import { plural } from '../../util/plural.ts';
import { curveOf, type RunLog } from '../run_log.ts';
import type { Verdict } from '../verdict.ts';

export function trainingVerdicts(log: RunLog): Verdict[] {
  return [...allTruncated(log), ...groupStdZero(log), ...nonFinite(log)];
}

// --- internal ---

function allTruncated(log: RunLog): Verdict[] {
  const clipped = curveOf(log, 'completions/clipped_ratio');
  const full = clipped.filter(([, value]) => value >= 0.999);
  if (clipped.length === 0 || full.length / clipped.length < 0.5) return [];
  const limit = log.args.max_completion_length;
  return [
    {
      code: 'ALL_TRUNCATED',
      severity: full.length === clipped.length ? 'severe' : 'warning',
      seen: `completions/clipped_ratio is 1 in ${full.length} of ${clipped.length} records (first: step ${full[0]![0]}): every completion reaches ${String(limit ?? 'the limit')} tokens`,
      why: 'rewards look at the end of a completion, which is missing',
      fix: 'raise --max_completion_length, or ask for shorter answers in --system',
    },
  ];
}

function groupStdZero(log: RunLog): Verdict[] {
  const shares = curveOf(log, 'frac_reward_zero_std');
  const flat = shares.filter(([, value]) => value >= 0.999);
  if (shares.length === 0 || flat.length / shares.length < 0.5) return [];
  const rewards = curveOf(log, 'reward').map(([, value]) => value);
  const { completions } = log;
  const isIdentical =
    completions !== null && completions.groups > 0 && completions.identical / completions.groups > 0.9;
  const cause = isIdentical
    ? {
        why: `the completions of a prompt are identical in ${completions.identical} of ${completions.groups} groups, so their rewards are`,
        fix: 'raise --temperature, relax --top_k and --top_p, or start again from an earlier checkpoint',
      }
    : {
        why: `all completions of a prompt get the same reward (mean ${mean(rewards).toPrecision(3)}): every advantage is 0 and nothing is learned`,
        fix: 'if they are all right, use harder rows; if all wrong, easier ones or sightline sft first; --dynamic_sample true draws other prompts for such groups',
      };
  return [
    {
      code: 'GROUP_STD_ZERO',
      severity: flat.length === shares.length ? 'severe' : 'warning',
      seen: `frac_reward_zero_std is 1 in ${flat.length} of ${shares.length} records (first: step ${flat[0]![0]})`,
      ...cause,
    },
  ];
}

function nonFinite(log: RunLog): Verdict[] {
  const skipped = curveOf(log, 'skipped_steps');
  const broken = log.records.flatMap(({ step, values }) =>
    ['loss', 'grad_norm', 'reward', 'kl'].flatMap((name): [number, string][] =>
      /^-?(nan|inf)/i.test(String(values[name])) ? [[step, `${name} is ${String(values[name])}`]] : [],
    ),
  );
  if (skipped.length === 0 && broken.length === 0) return [];
  const [step, what] = broken[0] ?? [skipped[0]![0], 'the step was skipped'];
  return [
    {
      code: 'NONFINITE',
      severity: broken.length > 0 ? 'severe' : 'warning',
      seen: `${plural(skipped.length + broken.length, 'record')} with numbers that are not finite (first: step ${step}: ${what})`,
      why: 'a gradient that is not finite teaches nothing, and in other trainers destroys the weights',
      fix: 'lower --learning_rate or --max_grad_norm, and look for a NaN in a reward at that step',
    },
  ];
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
