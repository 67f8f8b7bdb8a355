/**
 * Verdicts on the attention reward: no attention, no image, a form that hides it, a reward that is hacked.
 */
import { curveOf, type RunLog } from '../run_log.ts';
import type { Verdict } from '../verdict.ts';

const LABEL = 'DDAPOAttentionORM';

export function attentionVerdicts(log: RunLog): Verdict[] {
  return [...noAttention(log), ...noImages(log), ...groupNormMean(log), ...hacked(log)];
}

// --- internal ---

const usesAttention = (log: RunLog): boolean =>
  log.records.some(({ values }) => `rewards/${LABEL}/mean` in values) ||
  String(log.args.reward_funcs).includes('ddapo');

/**
 * The run that this project starts from: the kernels return no weights, and the reward is 0.0 at every step. A reward of
 * sightline is null then, and all of its ratios are undefined.
 */
function noAttention(log: RunLog): Verdict[] {
  if (!usesAttention(log)) return [];
  const means = curveOf(log, `rewards/${LABEL}/mean`);
  const stds = curveOf(log, `rewards/${LABEL}/std`);
  const isZero = means.length > 0 && [...means, ...stds].every(([, value]) => value === 0);
  const hasRatio = log.completions?.hasTdr === true || curveOf(log, 'attention/tdr_mean').length > 0;
  if (isZero && !hasRatio) {
    const implementation = String(log.args.attn_impl ?? 'sdpa');
    return [
      {
        code: 'NO_ATTENTION',
        severity: 'severe',
        seen: `rewards/${LABEL}/mean is exactly 0 in all ${means.length} records (steps ${means[0]![0]} to ${means.at(-1)![0]}), and no ratio was logged`,
        why: 'a text-dominance ratio is never 0: the forward returned no attention weights, and the reward took 0.0 for "missing"',
        fix: log.isMsSwift
          ? 'use the plugin of sightline: --external_plugins "$(sightline engine ms-swift --print-plugin)" --callbacks ddapo_attention'
          : 'set --attn_probe auto, and do not override DDAPOAttentionORM.call',
      },
      {
        code: 'ATTENTION_IMPL',
        severity: 'warning',
        seen: `attn_impl is ${implementation}`,
        why: 'flash and SDPA kernels return no weights; only eager does, for the length of a forward',
        fix: 'let the reward switch to eager for its own forward, as the plugin does, or measure with SIGHTLINE_ATTN_PROBE=fused',
      },
    ];
  }
  const undefinedParts = curveOf(log, 'attention/undefined_frac');
  if (undefinedParts.length === 0 || !undefinedParts.every(([, value]) => value === 1)) return [];
  return [
    {
      code: 'NO_ATTENTION',
      severity: 'severe',
      seen: `attention/undefined_frac is 1 in all ${undefinedParts.length} records`,
      why: 'no completion has a ratio: the rows have no image, the prompts have no text, or the forward returned no attention',
      fix: 'look at NO_IMAGE_TOKENS below and at the warnings of the run; rows for this reward need an image',
    },
  ];
}

function noImages(log: RunLog): Verdict[] {
  const { completions } = log;
  if (completions === null || completions.withoutImage === 0 || !usesAttention(log)) return [];
  const { count, withoutImage, firstWithoutImage } = completions;
  return [
    {
      code: 'NO_IMAGE_TOKENS',
      severity: withoutImage === count ? 'severe' : 'warning',
      seen: `${withoutImage} of ${count} completions answer prompts without an image (first: step ${firstWithoutImage!.step}, ${firstWithoutImage!.where})`,
      why: 'without visual tokens there is no ratio, so the attention reward is null for them',
      fix: 'give these rows "images" and an <image> in the question, or train on them without ddapo_attention',
    },
  ];
}

/** The mean of a group-normalised reward is 0 in each group, whatever it measures. */
function groupNormMean(log: RunLog): Verdict[] {
  const means = curveOf(log, `rewards/${LABEL}/mean`);
  const stds = curveOf(log, `rewards/${LABEL}/std`);
  if (means.length === 0 || !means.every(([, value]) => Math.abs(value) < 1e-5)) return [];
  if (!stds.some(([, value]) => value > 0.1)) return [];
  const [, std] = stds.at(-1)!;
  return [
    {
      code: 'GROUP_NORM_MEAN',
      severity: 'note',
      seen: `rewards/${LABEL}/mean is 0 in all ${means.length} records, with a deviation of ${std.toPrecision(3)} in the last one`,
      why: 'the group-normalised form has mean 0 in every group by construction; the reward works',
      fix: 'watch attention/tdr_mean, or leave out --ddapo_group_norm true to see -TDR itself',
    },
  ];
}

/** Correlations within groups of a paid signal with another reward, from clearly negative to clearly positive. */
function hacked(log: RunLog): Verdict[] {
  const names = new Set(log.records.flatMap(({ values }) => Object.keys(values)));
  return [...names].flatMap((name): Verdict[] => {
    const [, signal, reward] = /^(.*\/)?corr_([^_]+)_(.+)$/.exec(name)?.slice(0) ?? [];
    if (reward === undefined || name.startsWith('eval_')) return [];
    const curve = curveOf(log, name);
    const third = Math.floor(curve.length / 3);
    if (third < 2) return [];
    const mean = (part: readonly [number, number][]): number =>
      part.reduce((sum, [, value]) => sum + value, 0) / part.length;
    const [before, after] = [mean(curve.slice(0, third)), mean(curve.slice(-third))];
    if (!(before < -0.1 && after > 0.1)) return [];
    const path = /corr_(.+)$/.exec(name)![1]!;
    return [
      {
        code: 'HACKED',
        severity: 'warning',
        seen: `${name} went from ${before.toFixed(2)} in the first third of the run to ${after.toFixed(2)} in the last`,
        why: `completions that do better on the paid signal now do worse on the other reward (${path.slice(path.indexOf('_') + 1)}): the model may be hacking the ${signal === undefined ? '' : signal}${path.slice(0, path.indexOf('_'))} reward`,
        fix: 'look at completions.jsonl, lower its weight in --reward_weights, or stop at an earlier checkpoint',
      },
    ];
  });
}
