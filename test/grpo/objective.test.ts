/** The objective against ms-swift's and TRL's own code: test/golden/make/objective.py makes the values. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { type AdvantageEstimator, groupAdvantages, type ScaleRewards } from '../../src/grpo/advantages.ts';
import { highEntropyTokens } from '../../src/grpo/high_entropy.ts';
import { sequenceKls } from '../../src/grpo/kl.ts';
import {
  countStep,
  grpoLoss,
  type ImportanceSamplingLevel,
  type LossBatch,
  type LossOptions,
} from '../../src/grpo/loss.ts';
import { lossMetrics } from '../../src/grpo/metrics.ts';
import type { LossType } from '../../src/grpo/policy_term.ts';
import {
  type RolloutCorrectionMode,
  type RolloutCorrectionOptions,
  rolloutCorrectionMetrics,
  rolloutWeights,
} from '../../src/grpo/rollout_correction.ts';
import { float64 } from './golden.ts';

interface Reference {
  readonly loss: number;
  readonly gradient: readonly number[][];
  readonly clipping: Readonly<Record<string, number>> | null;
}

interface LossCase {
  readonly loss_type: LossType;
  readonly importance_sampling_level: ImportanceSamplingLevel;
  readonly epsilon_high: number;
  readonly delta: number | null;
  readonly beta: number;
  readonly tau_pos: number;
  readonly tau_neg: number;
  readonly top_entropy_quantile: number;
  readonly overlong_filter: boolean;
  readonly off_policy_sequence_mask_delta: number | null;
  readonly rollout_mode?: RolloutCorrectionMode;
  readonly rollout_threshold?: number;
  readonly swift: Reference & {
    readonly rollout_correction: Readonly<Record<string, number>> | null;
    readonly kl: number | null;
    readonly entropy_threshold: number | null;
  };
  readonly trl: Reference | null;
}

interface Values {
  readonly epsilon: number;
  readonly max_completion_length: number;
  readonly logps: readonly number[][];
  readonly old_logps: readonly number[][];
  readonly ref_logps: readonly number[][];
  readonly sampled_logps: readonly number[][];
  readonly entropies: readonly number[][];
  readonly advantages_of_losses: readonly number[];
  readonly truncated: readonly boolean[];
  readonly losses: readonly LossCase[];
  readonly advantages: {
    readonly num_generations: number;
    readonly beta: number;
    readonly weights: readonly number[];
    readonly kls: readonly number[];
    readonly rewards_per_func: readonly number[][];
    readonly cases: readonly {
      readonly advantage_estimator: AdvantageEstimator;
      readonly scale_rewards: ScaleRewards;
      readonly kl_in_reward: boolean;
      readonly rewards: readonly number[];
      readonly advantages: readonly number[];
    }[];
  };
}

const values = JSON.parse(readFileSync(new URL('objective.json', import.meta.url), 'utf8')) as Values;
const entropies = values.entropies.map((row) => Float32Array.from(row));
/** Both sides compute in float64: a few hundred roundings of numbers near 1. */
const ROUNDING = 1e-13;

describe('losses and gradients', () => {
  const largest = new Map<string, number>();
  afterAll(() => {
    for (const [name, error] of largest) console.log(`${name}: largest error ${error.toExponential(2)}`);
  });

  for (const which of values.losses) {
    test(titleOf(which), () => {
      const { loss, dLogps, sums } = lossOf(which);
      for (const [peer, reference] of [['ms-swift', which.swift] as const, ['TRL', which.trl] as const]) {
        if (reference === null) continue;
        const errors = [Math.abs(loss - reference.loss), ...gradientErrors(dLogps, reference.gradient)];
        expect(errors).toHaveLength(1 + values.logps.flat().length);
        const name = `${which.loss_type} against ${peer}`;
        largest.set(name, Math.max(largest.get(name) ?? 0, ...errors));
        expect(Math.max(...errors), peer).toBeLessThan(ROUNDING);
      }
      const metrics = lossMetrics([sums]);
      expectSame(metrics.kl, which.swift.kl);
      const ofSequences = which.importance_sampling_level === 'sequence';
      // Peers count sequences that they leave out as not clipped.
      if (ofSequences && (leavesOut(which) || which.trl === null)) return;
      // At the sequence level, ms-swift weights sequences by their lengths; TRL does not.
      const clipping = ofSequences ? which.trl?.clipping : which.swift.clipping;
      expectSame(metrics['clip_ratio/low_mean'], clipping?.low_clip_mean);
      expectSame(metrics['clip_ratio/high_mean'], clipping?.high_clip_mean);
      expectSame(metrics['clip_ratio/region_mean'], clipping?.region_clip_mean);
      expectSame(metrics.cispo_clip_ratio, clipping?.cispo_clip_ratio);
    });
  }

  test('the cases reach every branch', () => {
    const sums = values.losses.map((which) => ({ which, sums: lossOf(which).sums }));
    for (const type of ['grpo', 'bnpo', 'dr_grpo', 'dapo']) {
      const of = sums.filter(({ which }) => which.loss_type === type);
      expect(of.some(({ sums }) => sums.lowClipped > 0 && sums.highClipped > 0)).toBe(true);
    }
    expect(sums.some(({ which, sums }) => which.loss_type === 'cispo' && sums.highClipped > 0)).toBe(true);
    const masked = sums.filter(({ which }) => which.off_policy_sequence_mask_delta !== null);
    expect(masked.every(({ sums }) => sums.offPolicy! > 0 && sums.offPolicy! < 4)).toBe(true);
  });

  test('what a correction of the rollout logs', () => {
    // Peers count sequences that are left out as not clipped.
    const corrected = values.losses.filter(({ rollout_mode, overlong_filter }) => rollout_mode && !overlong_filter);
    for (const which of corrected) {
      const { old, sampled, weights, options } = correctionOf(which)!;
      const metrics = rolloutCorrectionMetrics(old, sampled, weights, options);
      for (const [name, value] of Object.entries(metrics)) {
        expectSame(value, which.swift.rollout_correction![name.replace('rollout_correction/', '')]!);
      }
      expect(Object.keys(metrics)).toHaveLength(5);
      expect(metrics['rollout_correction/clipped_frac']).toBeGreaterThan(0);
      expect(metrics['rollout_correction/clipped_frac']).toBeLessThan(1);
    }
    expect(corrected.map(({ rollout_mode }) => rollout_mode)).toHaveLength(16);
    expect(rolloutCorrectionMetrics([], [], [], { mode: 'token_mask', threshold: 2 })).toEqual({});
  });

  test('the threshold of entropies', () => {
    for (const which of values.losses.filter(({ top_entropy_quantile: q }) => q < 1)) {
      const { threshold } = highEntropyTokens(entropies, which.top_entropy_quantile);
      expect(threshold).toBeCloseTo(which.swift.entropy_threshold!, 6);
    }
  });
});

describe('a batch cut into micro-batches', () => {
  // bnpo is the mean over a micro-batch by definition: loss.test.ts has what that means.
  for (const which of values.losses.filter(({ loss_type: type }) => type !== 'bnpo')) {
    test(titleOf(which), () => {
      const whole = lossOf(which);
      fc.assert(
        fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 7 })), (cuts) => {
          const made = lossOf(which, [...cuts].sort());
          expect(Math.abs(made.loss - whole.loss)).toBeLessThan(ROUNDING);
          expect(Math.max(...gradientErrors(made.dLogps, whole.dLogps))).toBeLessThan(ROUNDING);
        }),
        { numRuns: 12 },
      );
    });
  }
});

describe('advantages', () => {
  const { num_generations: size, weights, kls, beta, rewards_per_func: table, cases } = values.advantages;
  let largest = 0;
  afterAll(() => console.log(`advantages against ms-swift: largest error ${largest.toExponential(2)}`));

  for (const which of cases) {
    const { advantage_estimator: advantageEstimator, scale_rewards: scaleRewards, kl_in_reward: isPenalised } = which;
    test(`${advantageEstimator}, ${scaleRewards}, KL in the reward: ${isPenalised}`, () => {
      const totals = table[0]!.map(
        (_, i) =>
          table.reduce((sum, column, k) => sum + weights[k]! * column[i]!, 0) - (isPenalised ? beta * kls[i]! : 0),
      );
      const options = { advantageEstimator, scaleRewards };
      const { advantages } = groupAdvantages(totals, size, options, { values: table, weights });
      const errors = which.advantages.map((expected, i) => Math.abs(expected - advantages[i]!));
      expect(errors).toHaveLength(12);
      largest = Math.max(largest, ...errors);
      // Divided by deviations of 0.1 and more.
      expect(Math.max(...errors)).toBeLessThan(1e-12);
      expect(Math.max(...which.rewards.map((reward, i) => Math.abs(reward - totals[i]!)))).toBeLessThan(ROUNDING);
    });
  }

  test('gdpo needs the values of each function; a completion without a reward takes no part', () => {
    expect(() => groupAdvantages([1, 2], 2, { scaleRewards: 'gdpo' })).toThrow('gdpo needs the values');
    const column = [1, 3, null, 2, 5, 4];
    const { advantages } = groupAdvantages(column, 3, { scaleRewards: 'gdpo' }, { values: [column], weights: [1] });
    expect(advantages[2]).toBe(0);
    const { advantages: without } = groupAdvantages(
      [1, 3],
      2,
      { scaleRewards: 'gdpo' },
      { values: [[1, 3]], weights: [1] },
    );
    expect(Math.sign(advantages[0]!)).toBe(Math.sign(without[0]!));
    expect([...advantages].reduce((sum, a) => sum + a, 0)).toBeCloseTo(0, 12);
  });

  test('rloo is the reward minus the mean of the others', () => {
    const made = groupAdvantages([1, 4, null, 7], 4, { advantageEstimator: 'rloo', scaleRewards: 'none' });
    expect([...made.advantages]).toEqual([1 - 5.5, 4 - 4, 0, 7 - 2.5]);
    const single = groupAdvantages([5, null], 2, { advantageEstimator: 'rloo', scaleRewards: 'none' });
    expect([...single.advantages]).toEqual([0, 0]);
  });
});

test('the KL of a sequence is the sum of its log-ratios', () => {
  expect(sequenceKls([[-1, -2], [], [-0.5]], [[-1.5, -1], [], [-2]])).toEqual([-0.5, 0, 1.5]);
});

// --- helpers ---

function titleOf(which: LossCase): string {
  const { loss_type, importance_sampling_level, beta, delta, tau_pos, top_entropy_quantile, overlong_filter } = which;
  const mask = which.off_policy_sequence_mask_delta;
  return `${loss_type}/${importance_sampling_level}/beta ${beta}/delta ${delta}/tau ${tau_pos}/entropy ${top_entropy_quantile}/overlong ${overlong_filter}/off-policy ${mask}${which.rollout_mode ? `/${which.rollout_mode} ${which.rollout_threshold}` : ''}`;
}

function expectSame(made: number | undefined, expected: number | null | undefined): void {
  if (expected === null || expected === undefined) expect(made).toBeUndefined();
  else expect(made).toBeCloseTo(expected, 12);
}

const leavesOut = (which: LossCase): boolean => which.overlong_filter || which.off_policy_sequence_mask_delta !== null;

/** The step's loss and gradient, with micro-batches that begin at 0 and at the cuts. */
function lossOf(which: LossCase, cuts: readonly number[] = []): ReturnType<typeof grpoLoss> {
  const options: LossOptions = {
    lossType: which.loss_type,
    importanceSamplingLevel: which.importance_sampling_level,
    epsilon: values.epsilon,
    epsilonHigh: which.epsilon_high,
    delta: which.delta,
    tauPos: which.tau_pos,
    tauNeg: which.tau_neg,
    beta: which.beta,
    maxCompletionLength: values.max_completion_length,
    offPolicySequenceMaskDelta: which.off_policy_sequence_mask_delta,
  };
  const counted = values.truncated.map((truncated) => !(which.overlong_filter && truncated));
  const { weights } = highEntropyTokens(entropies, which.top_entropy_quantile);
  const whole: LossBatch = {
    logps: float64(values.logps),
    oldLogps: float64(values.old_logps),
    refLogps: float64(values.ref_logps),
    advantages: values.advantages_of_losses,
    counted,
    policyWeights: weights,
    rolloutWeights: correctionOf(which)?.weights,
  };
  const borders = [0, ...cuts, values.logps.length];
  const parts = borders.slice(1).map((end, i) => cut(whole, borders[i]!, end));
  const step = countStep(parts.map((part) => part.logps.map(({ length }, k) => (part.counted![k] ? length : 0))));
  const made = parts.map((part) => grpoLoss(part, options, step));
  return {
    loss: made.reduce((sum, { loss }) => sum + loss, 0),
    dLogps: made.flatMap(({ dLogps }) => dLogps),
    dEntropies: null,
    sums: made[0]!.sums,
  };
}

/** Weights against the log-probabilities of sampling, of the cases that have them. */
function correctionOf({ rollout_mode: mode, rollout_threshold: threshold }: LossCase) {
  if (mode === undefined) return null;
  const options: RolloutCorrectionOptions = { mode, threshold: threshold! };
  const [old, sampled] = [float64(values.old_logps), float64(values.sampled_logps)];
  return { old, sampled, options, weights: rolloutWeights(old, sampled, options) };
}

function cut(batch: LossBatch, begin: number, end: number): LossBatch {
  return {
    logps: batch.logps.slice(begin, end),
    oldLogps: batch.oldLogps!.slice(begin, end),
    refLogps: batch.refLogps!.slice(begin, end),
    advantages: Array.from(batch.advantages).slice(begin, end),
    counted: batch.counted!.slice(begin, end),
    policyWeights: batch.policyWeights!.slice(begin, end),
    rolloutWeights: batch.rolloutWeights?.slice(begin, end),
  };
}

function gradientErrors(made: readonly ArrayLike<number>[], expected: readonly ArrayLike<number>[]): number[] {
  return made.flatMap((row, i) => Array.from(row, (d, t) => Math.abs(d - expected[i]![t]!)));
}
