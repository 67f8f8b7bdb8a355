import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import {
  countStep,
  grpoLoss,
  type ImportanceSamplingLevel,
  type LossBatch,
  type LossOptions,
  type StepCounts,
} from '../../src/grpo/loss.ts';
import type { LossType } from '../../src/grpo/policy_term.ts';
import { createRandom } from '../../src/util/random.ts';
import { float64, goldenGrpo } from './golden.ts';

const lossTypes: LossType[] = ['grpo', 'bnpo', 'dr_grpo', 'dapo', 'cispo', 'sapo'];
const levels: ImportanceSamplingLevel[] = ['token', 'sequence'];
// sequence_token and cispo hold a part of the loss fixed in the gradient: finite differences of the loss do not see it.
const differentiable = (variant: { lossType: LossType }): boolean => variant.lossType !== 'cispo';
const variants = lossTypes.flatMap((lossType) =>
  levels.flatMap((importanceSamplingLevel) => [0, 0.04].map((beta) => ({ lossType, importanceSamplingLevel, beta }))),
);
const plain = {
  epsilon: 0.2,
  epsilonHigh: 0.28,
  delta: null,
  tauPos: 0.8,
  tauNeg: 1.6,
  offPolicySequenceMaskDelta: null,
  maxCompletionLength: 15,
};

describe('against TRL', () => {
  for (const { name, golden } of goldenGrpo()) {
    test(`${name}: the loss of all 16 variants`, () => {
      expect(golden.results).toHaveLength(16);
      let largest = 0;
      const batch: LossBatch = {
        logps: float64(golden.per_token_logps),
        oldLogps: float64(golden.old_per_token_logps),
        refLogps: float64(golden.ref_per_token_logps),
        advantages: golden.advantages,
      };
      const step = stepOf([batch]);
      for (const result of golden.results) {
        const options = optionsOf(result.loss_type, result.importance_sampling_level, result.beta);
        const { loss } = grpoLoss(batch, { ...options, maxCompletionLength: golden.max_completion_length }, step);
        const error = Math.abs(loss - result.loss);
        largest = Math.max(largest, error / Math.abs(result.loss));
        const variant = `${result.loss_type}/${result.importance_sampling_level}/beta ${result.beta}`;
        expect(error, variant).toBeLessThan(1e-5 * Math.abs(result.loss) + 1e-6);
      }
      console.log(`${name}: largest relative error of the loss ${largest.toExponential(2)}`);
    });
  }
});

describe('gradient against central differences', () => {
  let largestOfAll = 0;
  afterAll(() => console.log(`largest gradient error ${largestOfAll.toExponential(2)}`));

  for (const variant of variants.filter(differentiable)) {
    for (const delta of [null, 1.5]) {
      const title = `${variant.lossType}/${variant.importanceSamplingLevel}/beta ${variant.beta}/delta ${delta}`;
      test(title, () => {
        const options: LossOptions = { ...plain, ...variant, delta };
        const batch = randomBatch(`gradient ${title}`, 12, options);
        const step: StepCounts = { sequences: 12, tokens: 97, microBatches: 2 };
        largestOfAll = Math.max(largestOfAll, largestGradientError(batch, options, step));
        expect(largestOfAll).toBeLessThan(1e-8);
        const { sums } = grpoLoss(batch, options, step);
        if (variant.lossType === 'sapo') return;
        // The comparison means little unless all branches are taken.
        expect(sums.lowClipped).toBeGreaterThan(0);
        expect(sums.highClipped).toBeGreaterThan(0);
      });
    }
  }

  test('a delta below the clip range', () => {
    for (const importanceSamplingLevel of levels) {
      const options: LossOptions = { ...plain, lossType: 'bnpo', importanceSamplingLevel, beta: 0.1, delta: 1.1 };
      const batch = randomBatch(`tight ${importanceSamplingLevel}`, 6, options);
      const step = stepOf([batch]);
      expect(largestGradientError(batch, options, step)).toBeLessThan(1e-8);
      const { sums } = grpoLoss(batch, options, step);
      expect(sums.tokens).toBe(batch.logps.reduce((sum, { length }) => sum + length, 0));
      expect(sums.ratios).toBe(importanceSamplingLevel === 'token' ? sums.tokens : 6);
    }
  });
});

describe('on-policy', () => {
  test('null old log-probabilities are the current ones, and the gradient is the weighted advantage', () => {
    for (const { lossType, importanceSamplingLevel, beta } of variants) {
      const options = optionsOf(lossType, importanceSamplingLevel, beta);
      const batch = randomBatch('on-policy', 5, options);
      const step = stepOf([batch]);
      const same = grpoLoss({ ...batch, oldLogps: batch.logps }, options, step);
      const absent = grpoLoss({ ...batch, oldLogps: null }, options, step);
      expect(absent).toEqual(same);
      if (beta !== 0) continue;
      for (const [i, row] of absent.dLogps.entries()) {
        const weight = {
          grpo: 1 / (row.length * 5),
          bnpo: 1 / step.tokens,
          dr_grpo: 1 / (5 * options.maxCompletionLength),
          dapo: 1 / step.tokens,
          cispo: Math.min(1, options.epsilonHigh) / step.tokens,
          sapo: 1 / (row.length * 5),
        }[lossType];
        for (const d of row) expect(d).toBeCloseTo(-weight * batch.advantages[i]!, 15);
      }
    }
  });
});

describe('micro-batches', () => {
  test('losses and gradients sum to those of the step, however it is cut', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e6 }),
        fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { maxLength: 4 }),
        fc.constantFrom(...variants.filter((variant) => variant.lossType !== 'bnpo')),
        (seed, cuts, variant) => {
          const options = optionsOf(variant.lossType, variant.importanceSamplingLevel, variant.beta);
          const batch = randomBatch(`cut ${seed}`, 8, options);
          const borders = [0, ...cuts.sort((a, b) => a - b), 8];
          const parts = borders.slice(1).map((end, i) => sliceOf(batch, borders[i]!, end));
          const whole = grpoLoss(batch, options, stepOf([batch]));
          const step = stepOf(parts);
          const pieces = parts.map((part) => grpoLoss(part, options, step));
          expect(pieces.reduce((sum, piece) => sum + piece.loss, 0)).toBeCloseTo(whole.loss, 12);
          const gradients = pieces.flatMap((piece) => piece.dLogps);
          for (const [i, row] of whole.dLogps.entries()) {
            for (const [t, d] of row.entries()) expect(gradients[i]![t]).toBeCloseTo(d, 13);
          }
          expect(pieces.reduce((sum, piece) => sum + piece.sums.lowClipped, 0)).toBe(whole.sums.lowClipped);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('bnpo averages the means of its micro-batches', () => {
    const options = optionsOf('bnpo', 'token', 0);
    const batch = randomBatch('bnpo', 4, options);
    const parts = [sliceOf(batch, 0, 1), sliceOf(batch, 1, 4)];
    const step = stepOf(parts);
    const alone = parts.map((part) => grpoLoss(part, options, stepOf([part])).loss);
    const pieces = parts.map((part) => grpoLoss(part, options, step).loss);
    expect(pieces[0]! + pieces[1]!).toBeCloseTo((alone[0]! + alone[1]!) / 2, 14);
  });
});

describe('inputs that do not fit', () => {
  const options = optionsOf('grpo', 'token', 0);
  const batch = randomBatch('shapes', 2, options);
  const step = stepOf([batch]);

  test('are our own errors', () => {
    expect(() => grpoLoss({ ...batch, advantages: [1] }, options, step)).toThrow('internal: 2 sequences with 1');
    expect(() => grpoLoss({ ...batch, refLogps: null }, { ...options, beta: 0.1 }, step)).toThrow(
      'internal: beta is 0.1',
    );
    const short = batch.logps.map((row) => row.subarray(1));
    expect(() => grpoLoss({ ...batch, oldLogps: short }, options, step)).toThrow('old log-probabilities');
    expect(() => grpoLoss({ ...batch, refLogps: [] }, options, step)).toThrow('reference log-probabilities: 0');
  });

  test('a NaN log-probability shows in the loss', () => {
    const logps = batch.logps.map((row) => Float64Array.from(row));
    logps[0]![0] = Number.NaN;
    expect(grpoLoss({ ...batch, logps }, options, step).loss).toBeNaN();
  });
});

// --- helpers ---

function optionsOf(lossType: LossType, importanceSamplingLevel: ImportanceSamplingLevel, beta: number): LossOptions {
  return { ...plain, lossType, importanceSamplingLevel, beta };
}

function stepOf(batches: readonly LossBatch[]): StepCounts {
  return countStep(batches.map(({ logps }) => logps.map((row) => row.length)));
}

function pick(batch: LossBatch, rows: readonly number[]): LossBatch {
  const of = <T>(all: readonly T[]): T[] => rows.map((i) => all[i]!);
  return {
    logps: of(batch.logps),
    oldLogps: batch.oldLogps && of(batch.oldLogps),
    refLogps: batch.refLogps && of(batch.refLogps),
    advantages: of(Array.from(batch.advantages)),
  };
}

function sliceOf(batch: LossBatch, begin: number, end: number): LossBatch {
  return pick(
    batch,
    Array.from({ length: end - begin }, (_, i) => begin + i),
  );
}

/** Mean log-ratio and advantage of the sequences: both sides of the clip range, both signs, and no advantage. */
const cases: readonly (readonly [number, number])[] = [
  [0.6, 1.1],
  [-0.6, -1.3],
  [0.1, 0.6],
  [0.6, -0.4],
  [-0.6, 0.9],
  [0.1, 0],
];

/** Sequences of 1 to 12 tokens whose ratios, per token and per sequence, keep clear of every kink. */
function randomBatch(seed: string, sequences: number, options: LossOptions): LossBatch {
  const random = createRandom(seed);
  const kinks = [1 - options.epsilon, 1 + options.epsilonHigh, options.delta ?? 1.5, 1.1];
  const clear = (ratio: number): boolean => kinks.every((kink) => Math.abs(ratio - kink) > 1e-3);
  const logps: Float64Array[] = [];
  const oldLogps: Float64Array[] = [];
  const refLogps: Float64Array[] = [];
  const advantages: number[] = [];
  while (logps.length < sequences) {
    const length = 1 + random.int(12);
    const current = Float64Array.from({ length }, () => -0.2 - 5 * random.next());
    // A shift of the whole sequence, so that sequence ratios leave the clip range too, with either sign of advantage.
    const [shift, advantage] = cases[logps.length % cases.length]!;
    const old = current.map((logp) => logp - shift + 0.2 * random.normal());
    const ratios = [...current].map((logp, t) => Math.exp(logp - old[t]!));
    const sequenceRatio = Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / length);
    if (!ratios.every(clear) || !clear(sequenceRatio)) continue;
    logps.push(current);
    oldLogps.push(old);
    refLogps.push(current.map((logp) => logp + 0.3 * random.normal()));
    advantages.push(advantage);
  }
  return { logps, oldLogps, refLogps, advantages };
}

/** Largest difference between the analytic and the central-difference derivative, over all tokens. */
function largestGradientError(batch: LossBatch, options: LossOptions, step: StepCounts): number {
  const { dLogps } = grpoLoss(batch, options, step);
  const h = 1e-5;
  let largest = 0;
  for (const [i, row] of batch.logps.entries()) {
    for (const t of row.keys()) {
      const lossAt = (offset: number): number => {
        const logps = batch.logps.map((other) => Float64Array.from(other));
        logps[i]![t]! += offset;
        return grpoLoss({ ...batch, logps }, options, step).loss;
      };
      const numeric = (lossAt(h) - lossAt(-h)) / (2 * h);
      largest = Math.max(largest, Math.abs(numeric - dLogps[i]![t]!));
    }
  }
  return largest;
}
