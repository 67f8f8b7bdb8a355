/** PAPO's term and VPPO's selection and scale, against values that their own code gave: golden/make/perception.py. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { grpoLoss, type LossOptions } from '../../src/grpo/loss.ts';
import { lossMetrics } from '../../src/grpo/metrics.ts';
import { perceptionTerm } from '../../src/grpo/perception_term.ts';
import { dependenceScales, dependentTokens, visualDependence } from '../../src/grpo/visual_dependence.ts';

interface Values {
  readonly logps: readonly (readonly number[])[];
  readonly changed: readonly (readonly number[])[];
  readonly old: readonly (readonly number[])[];
  readonly advantages: readonly number[];
  readonly papo: readonly {
    readonly kl_coef: number;
    readonly kl_max: number | null;
    readonly kl_tokens: number;
    readonly entropy_coef: number;
    readonly average: 'token' | 'seq';
    readonly loss: number;
    readonly gradient: readonly (readonly number[])[];
    readonly kl: number;
  }[];
  readonly vppo: readonly {
    readonly ratio: number;
    readonly least: number;
    readonly kls: readonly (readonly number[])[];
    readonly weights: readonly (readonly number[])[];
    readonly advantages: readonly number[];
    readonly scores: readonly number[];
  }[];
}
const values = JSON.parse(readFileSync(new URL('perception.json', import.meta.url), 'utf8')) as Values;
const rows = (table: readonly (readonly number[])[]): Float64Array[] => table.map((row) => Float64Array.from(row));
const largest = (a: readonly ArrayLike<number>[], b: readonly ArrayLike<number>[]): number => {
  expect(a.map(({ length }) => length)).toEqual(b.map(({ length }) => length));
  return Math.max(...a.flatMap((row, i) => Array.from(row, (x, t) => Math.abs(x - b[i]![t]!))));
};

/** A few hundred float64 roundings of numbers up to 25. */
const ROUNDING = 1e-12;
/** PAPO adds 1e-8 to its denominators, which are at least 1: its values are smaller by at most this share. */
const DENOMINATOR = 1e-8;

const OPTIONS: LossOptions = {
  lossType: 'dapo',
  importanceSamplingLevel: 'token',
  epsilon: 0.2,
  epsilonHigh: 0.2,
  delta: null,
  tauPos: 1,
  tauNeg: 1.05,
  beta: 0,
  maxCompletionLength: 10,
  offPolicySequenceMaskDelta: null,
};

describe("PAPO's perception term", () => {
  const tokens = values.logps.flat().length;
  test.each(values.papo)(
    'kl $kl_coef up to $kl_max on $kl_tokens of the tokens, entropies $entropy_coef, per $average',
    (which) => {
      const batch = {
        logps: rows(values.logps),
        oldLogps: null,
        refLogps: null,
        advantages: values.logps.map(() => 0),
        changedLogps: rows(values.changed),
      };
      const perception = {
        klCoef: which.kl_coef,
        klMax: which.kl_max,
        klTokens: which.kl_tokens,
        entropyCoef: which.entropy_coef,
      };
      const lossType = which.average === 'token' ? 'dapo' : 'grpo';
      const counts = { sequences: values.logps.length, tokens, microBatches: 1 };
      const { loss, dLogps, sums } = grpoLoss(batch, { ...OPTIONS, lossType, perception }, counts);
      const error = Math.max(Math.abs(loss - which.loss), largest(dLogps, which.gradient));
      console.log(`PAPO: largest error ${error.toExponential(2)}`);
      expect(error).toBeLessThan(DENOMINATOR * Math.max(1e-3, Math.abs(which.loss)) + ROUNDING);
      if (which.average === 'token') {
        const kl = lossMetrics([sums])['perception/kl']!;
        expect(Math.abs(kl - which.kl)).toBeLessThan(DENOMINATOR * which.kl + ROUNDING);
      }
    },
  );

  test('the gradient is the slope of the value', () => {
    const options = { klCoef: 0.5, klMax: 3, klTokens: 0.5, entropyCoef: 0.1 };
    const [logps, changed] = [rows(values.logps)[0]!, rows(values.changed)[0]!];
    const { gradients } = perceptionTerm(logps, changed, options);
    for (let t = 0; t < logps.length; t++) {
      const at = (step: number): number => {
        const moved = logps.map((logp, u) => (u === t ? logp + step : logp));
        return perceptionTerm(moved, changed, options).values.reduce((a, b) => a + b);
      };
      // Rounding of values near 10 divided by 2e-5 is 1e-10; the third derivative is at most e^3.
      expect(Math.abs((at(1e-5) - at(-1e-5)) / 2e-5 - gradients[t]!), `${t}`).toBeLessThan(1e-8);
    }
  });

  test('a sequence without an image has no term', () => {
    const [logps, changed] = [rows(values.logps), rows(values.changed)];
    const perception = { klCoef: 0.02, klMax: null, klTokens: 1, entropyCoef: 0.03 };
    const batch = { logps, oldLogps: null, refLogps: null, advantages: logps.map(() => 0) };
    const counts = { sequences: logps.length, tokens, microBatches: 1 };
    const some = changed.map((row, i) => (i === 1 ? null : row));
    const { dLogps, sums } = grpoLoss({ ...batch, changedLogps: some }, { ...OPTIONS, perception }, counts);
    expect(dLogps[1]!.every((x) => x === 0)).toBe(true);
    expect(dLogps[0]!.some((x) => x !== 0)).toBe(true);
    expect(sums.perception!.tokens).toBe(tokens - logps[1]!.length);
  });
});

describe('VPPO', () => {
  test.each(values.vppo)('tokens $ratio, advantages from $least', ({ ratio, least, ...reference }) => {
    const all = values.old.map((old, i) => visualDependence(old, values.changed[i]!));
    const means = all.map(({ kl }) => kl!);
    const weights = all.map(({ kls }) => dependentTokens(kls, ratio));
    const scales = dependenceScales(means, least);
    const scaled = Array.from(scales, (scale, i) => scale * values.advantages[i]!);
    const errors = {
      kls: largest(
        all.map(({ kls }) => kls),
        reference.kls,
      ),
      scores: largest([means], [reference.scores]),
      weights: largest(weights, reference.weights),
      advantages: largest([scaled], [reference.advantages]),
    };
    console.log(`VPPO: ${JSON.stringify(errors)}`);
    expect(errors.weights).toBe(0);
    expect(Math.max(errors.kls, errors.scores, errors.advantages)).toBeLessThan(ROUNDING);
    expect(Math.abs(scales.reduce((a, b) => a + b) / scales.length - 1)).toBeLessThan(1e-7);
  });

  test('completions without an image, and equal ones, keep their advantages', () => {
    expect([...dependenceScales([0.2, null, 0.2], 0.9)]).toEqual([1, 1, 1]);
    expect(dependenceScales([0.1, null, 0.3], 0.9)[1]).toBe(1);
    expect(visualDependence([], []).kl).toBeNull();
  });

  test('among equal tokens the earlier one is learned from', () => {
    expect([...dependentTokens([1, 2, 2, 2], 0.5)]).toEqual([0, 1, 1, 0]);
  });
});
