import { describe, expect, test } from 'vitest';
import { groupAdvantages } from '../../src/grpo/advantages.ts';
import { countStep, grpoLoss, type LossSums } from '../../src/grpo/loss.ts';
import {
  completionMetrics,
  entropyMetrics,
  lossMetrics,
  rewardMetrics,
  samplingDifference,
} from '../../src/grpo/metrics.ts';
import { float64, goldenGrpo } from './golden.ts';

describe('against TRL', () => {
  for (const { name, golden } of goldenGrpo()) {
    test(`${name}: kl, entropy and clip ratios of all 16 variants`, () => {
      const logps = float64(golden.per_token_logps);
      const step = countStep([logps.map((row) => row.length)]);
      let largest = 0;
      for (const result of golden.results) {
        const { sums } = grpoLoss(
          {
            logps,
            oldLogps: float64(golden.old_per_token_logps),
            refLogps: float64(golden.ref_per_token_logps),
            advantages: golden.advantages,
          },
          {
            lossType: result.loss_type,
            importanceSamplingLevel: result.importance_sampling_level,
            beta: result.beta,
            epsilon: 0.2,
            epsilonHigh: 0.28,
            delta: null,
            tauPos: 1,
            tauNeg: 1.05,
            offPolicySequenceMaskDelta: null,
            maxCompletionLength: golden.max_completion_length,
          },
          step,
        );
        const { entropy } = entropyMetrics(float64(golden.entropies));
        const made = { ...lossMetrics([sums]), entropy };
        expect(Object.keys(made).sort()).toEqual(Object.keys(result.metrics).sort());
        for (const [key, expected] of Object.entries(result.metrics)) {
          largest = Math.max(largest, Math.abs(made[key as keyof typeof made]! - expected));
        }
      }
      console.log(`${name}: largest error of the loss metrics ${largest.toExponential(2)}`);
      expect(largest).toBeLessThan(2e-6);
    });
  }
});

describe('rewardMetrics', () => {
  test('uses the names of ms-swift, per reward class', () => {
    const rewards = [1, 3, 2, 2];
    const groups = groupAdvantages(rewards, 2, { scaleRewards: 'group' });
    const made = rewardMetrics(rewards, groups, [
      { name: 'Format', values: [1, 1, 1, 0] },
      { name: 'DDAPOAttentionORM', values: [-1, null, -1.5, null] },
      { name: 'Never', values: [null, null, null, null] },
    ]);
    expect(made).toEqual({
      reward: 2,
      reward_std: Math.SQRT2 / 2,
      frac_reward_zero_std: 0.5,
      'rewards/Format/mean': 0.75,
      'rewards/Format/std': 0.5,
      'rewards/DDAPOAttentionORM/mean': -1.25,
      'rewards/DDAPOAttentionORM/std': Math.sqrt(0.125),
      'rewards/DDAPOAttentionORM/null_frac': 0.5,
      'rewards/Never/null_frac': 1,
    });
  });

  test('has no reward where no completion has one', () => {
    const groups = groupAdvantages([null, null], 2, { scaleRewards: 'group' });
    expect(rewardMetrics([null, null], groups, [])).toEqual({ frac_reward_zero_std: 1 });
  });
});

describe('completionMetrics', () => {
  test('counts lengths, and those of terminated completions apart', () => {
    expect(completionMetrics([4, 11, 6], [false, true, false])).toEqual({
      'completions/mean_length': 7,
      'completions/min_length': 4,
      'completions/max_length': 11,
      'completions/clipped_ratio': 1 / 3,
      'completions/mean_terminated_length': 5,
      'completions/min_terminated_length': 4,
      'completions/max_terminated_length': 6,
    });
  });

  test('the terminated lengths are 0 when every completion was cut off', () => {
    const made = completionMetrics([8, 8], [true, true]);
    expect(made['completions/clipped_ratio']).toBe(1);
    expect(made['completions/max_terminated_length']).toBe(0);
  });
});

describe('samplingDifference', () => {
  test('mean and largest absolute difference over tokens; nothing without tokens', () => {
    expect(
      samplingDifference(
        [[-1, -2], [-3]].map((row) => Float64Array.from(row)),
        [[-1.5, -2], [-2]].map((row) => Float64Array.from(row)),
      ),
    ).toEqual({
      'sampling/sampling_logp_difference/mean': 0.5,
      'sampling/sampling_logp_difference/max': 1,
    });
    expect(samplingDifference([], [])).toEqual({});
  });
});

describe('lossMetrics', () => {
  const part = (over: Partial<LossSums>): LossSums => ({
    tokens: 10,
    kl: 1,
    perception: null,
    clipping: 'bounds',
    sequences: 2,
    offPolicy: null,
    ratios: 10,
    lowClipped: 0,
    highClipped: 0,
    ...over,
  });

  test('cispo logs the share above its cap, sapo no clipping at all', () => {
    const capped = lossMetrics([part({ clipping: 'cap', highClipped: 3 }), part({ clipping: 'cap', highClipped: 1 })]);
    expect(capped).toEqual({ kl: 0.1, cispo_clip_ratio: 0.2 });
    expect(lossMetrics([part({ clipping: 'none' })])).toEqual({ kl: 0.1 });
  });

  test('the share of sequences that the off-policy mask leaves out, also if it leaves out all', () => {
    const kept = lossMetrics([part({ offPolicy: 1 }), part({ offPolicy: 0 })]);
    expect(kept.off_policy_masked_frac).toBe(0.25);
    expect(lossMetrics([part({ offPolicy: 2, ratios: 0, tokens: 0 })])).toEqual({ off_policy_masked_frac: 1 });
  });

  test('weighs micro-batches by their tokens, and takes the extremes over them', () => {
    const parts = [part({ lowClipped: 2, highClipped: 1 }), part({ tokens: 30, ratios: 30, kl: 5, highClipped: 9 })];
    expect(lossMetrics(parts)).toEqual({
      kl: 6 / 40,
      'clip_ratio/low_mean': 2 / 40,
      'clip_ratio/low_min': 0,
      'clip_ratio/high_mean': 10 / 40,
      'clip_ratio/high_max': 0.3,
      'clip_ratio/region_mean': 12 / 40,
    });
  });

  test('has no kl without a reference, and nothing where nothing counts', () => {
    expect(lossMetrics([part({ kl: null })])).not.toHaveProperty('kl');
    expect(lossMetrics([part({ tokens: 0, ratios: 0, kl: 0 })])).toEqual({});
  });
});

describe('entropyMetrics', () => {
  test('averages over tokens and over sequences', () => {
    expect(entropyMetrics([Float32Array.of(1, 2, 3), Float32Array.of(6)])).toEqual({
      entropy: 3,
      'entropy/mean': 4,
      'entropy/max': 6,
      'entropy/min': 2,
    });
    expect(entropyMetrics([])).toEqual({});
  });
});
