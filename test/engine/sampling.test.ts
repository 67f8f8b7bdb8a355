/**
 * The sampling head against float64: every draw lies in its token's interval of the cumulative distribution.
 * One row of the head a distribution: with unit vectors as hidden states, the head's columns are the logits. Their length is
 * a power of 4, so that the norm multiplies by a power of 2 and logits are what the test says, to the last bit.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type SamplingRule, samplingHead } from '../../src/engine/sampling.ts';
import type { WeightForm } from '../../src/nn/linear.ts';
import { compileModule } from '../../src/runtime/compiled_module.ts';
import { floats, zeros } from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';
import { largest, total } from '../helpers/reference.ts';
import { ROUNDING, shareError, sumError } from '../helpers/rounding.ts';

const ALL: SamplingRule = { greedy: false, topK: 0, topP: 1 };
/** Columns of a block at most, for so many of them; one block is summed in float32. */
const widthOf = (n: number): number => (n > 1024 ? Math.ceil(Math.sqrt(n)) : 0);
/**
 * How far a token's interval may be shifted: softmax; the sums of blocks, and with them a block's bounds; roundings of those,
 * of the draw itself and of where it lies in its block. With top_p once more, since what is kept is a share as well.
 */
const tolerance = (n: number): number => 2 * shareError(n) + sumError(widthOf(n)) + 6 * ROUNDING;
const random = createRandom(11);
const EDGES = [0, 2 ** -32, 1e-7, 0.5, 1 - 2 ** -20];
const uniforms = [...EDGES, ...Array.from({ length: 59 }, () => random.next())];

interface Interval {
  readonly low: number;
  readonly high: number;
}

/** Where each token that may be drawn lies in the cumulative distribution, by id. */
function intervalsOf(
  logits: readonly number[],
  banned: ReadonlySet<number>,
  rule: SamplingRule,
): Map<number, Interval> {
  const allowed = logits.map((_, id) => id).filter((id) => !banned.has(id));
  const top = largest(allowed.map((id) => logits[id]!));
  const weight = (id: number): number => Math.exp(logits[id]! - top);
  let kept = allowed;
  if (rule.topK > 0 || rule.topP < 1) {
    const sorts = rule.topK > 0 && rule.topK < logits.length;
    kept = allowed.toSorted((a, b) => logits[b]! - logits[a]! || a - b);
    if (sorts) kept = kept.slice(0, rule.topK);
    const sum = total(kept.map(weight));
    let before = 0;
    const reaching = kept.filter((id) => {
      const stays = before <= rule.topP;
      before += weight(id) / sum;
      return stays;
    });
    const least = logits[reaching.at(-1)!]!;
    kept = sorts ? reaching : allowed.filter((id) => logits[id]! >= least);
  }
  const sum = total(kept.map(weight));
  const intervals = new Map<number, Interval>();
  let low = 0;
  for (const id of kept) {
    const high = low + weight(id) / sum;
    intervals.set(id, { low, high });
    low = high;
  }
  return intervals;
}

/** Draws with every uniform from every distribution, in one run, and compares. */
async function check(
  vocabSize: number,
  distributions: readonly (readonly number[])[],
  { banned = new Set<number>(), rule = ALL, draws = uniforms, form = 'right' as WeightForm } = {},
): Promise<void> {
  const h = 4 ** Math.ceil(Math.log(distributions.length) / Math.log(4));
  const rows = distributions.length * draws.length;
  const head = zeros(vocabSize, h);
  distributions.forEach((logits, d) => {
    for (const [id, logit] of logits.entries()) head.data[id * h + d] = logit / Math.sqrt(h);
  });
  const hidden = zeros(rows, h);
  for (let row = 0; row < rows; row++) hidden.data[row * h + Math.floor(row / draws.length)] = 1;
  const mask = zeros(vocabSize);
  for (const id of banned) mask.data[id] = Number.NEGATIVE_INFINITY;
  const module = compileModule(samplingHead({ hiddenSize: h, vocabSize, rmsNormEps: 0 }, rule, form));
  const sampled = await module.forward({
    'norm.weight': floats(new Float32Array(h).fill(1), [h]),
    'head.weight': head,
    hidden,
    banned: mask,
    uniform: floats(
      Float32Array.from({ length: rows }, (_, row) => draws[row % draws.length]!),
      [rows],
    ),
    inverseTemperature: floats(Float32Array.of(1), []),
  });
  await module.release();
  distributions.forEach((logits, d) => {
    const intervals = intervalsOf(logits, banned, rule);
    const top = largest(logits);
    const logSum = top + Math.log(total(logits.map((x) => Math.exp(x - top))));
    const entropy = -total(logits.map((x) => Math.exp(x - logSum) * (x - logSum)));
    const n = logits.length;
    // The sum of n exponentials, relatively, so its logarithm; that rounds, and so does the shift by the largest logit.
    const sumsError = shareError(n) + sumError(n) + Math.log(n) * ROUNDING;
    draws.forEach((u, i) => {
      const row = d * draws.length + i;
      const id = sampled.id!.data[row]!;
      const where = `distribution ${d}, uniform ${u}, id ${id}`;
      const interval = intervals.get(id);
      expect(interval, `${where} may be drawn`).toBeDefined();
      expect(interval!.high, `${where} has probability`).toBeGreaterThan(interval!.low);
      expect(interval!.low - tolerance(n), where).toBeLessThanOrEqual(u);
      expect(interval!.high + tolerance(n), where).toBeGreaterThan(u);
      const logp = logits[id]! - logSum;
      expect(Math.abs(sampled.logp!.data[row]! - logp), where).toBeLessThan(
        sumsError + 2 * (top - logits[id]! + Math.log(n)) * ROUNDING,
      );
      // p log p: p is off by as much as log p, relatively, and by exp; log p by sumsError; then n terms are added up.
      expect(Math.abs(sampled.entropy!.data[row]! - entropy), where).toBeLessThan(
        (1 + entropy) * (sumsError + 8 * Math.log(n) * ROUNDING) + entropy * sumError(n + 4),
      );
    });
  });
}

const normal = (n: number, scale: number): number[] =>
  Array.from({ length: n }, () => Math.fround(scale * random.normal()));
const only = (n: number, ids: readonly number[]): number[] =>
  Array.from({ length: n }, (_, id) => (ids.includes(id) ? 100 : -100));

describe.each([
  [5, 'one running sum'],
  [1024, 'the longest with one running sum'],
  [1025, 'blocks, a divisor'],
  [2503, 'blocks, a prime: the last one is padded'],
  [6000, 'blocks, a divisor'],
])('%i tokens (%s)', (n) => {
  const distributions = [
    normal(n, 1),
    normal(n, 6),
    new Array<number>(n).fill(0.5),
    only(n, [0]),
    only(n, [n - 1]),
    only(n, [0, n - 1]),
    only(n, [n >> 1, (n >> 1) + 1]),
  ];

  test('of every distribution', () => check(n, distributions));
  test('the product with the weight on the left', () => check(n, distributions, { form: 'left' }));
  test('one row', () => check(n, [normal(n, 2)], { draws: [0.731] }));
  test('banned tokens are never drawn, though they hold nearly all the mass', async () => {
    const banned = new Set(Array.from({ length: n - 1 }, (_, i) => i).filter((id) => id % 3 !== 1));
    const heavy = normal(n, 1).map((x, id) => (banned.has(id) ? x + 200 : x));
    await check(n, [heavy, normal(n, 3), new Array<number>(n).fill(0)], { banned });
  });
  test('all but one are banned', async () => {
    for (const left of [0, n >> 1, n - 1]) {
      const banned = new Set(Array.from({ length: n }, (_, id) => id).filter((id) => id !== left));
      await check(n, [normal(n, 5)], { banned });
    }
  });
  test.each<Partial<SamplingRule>>([{ topK: 3 }, { topP: 0.7 }, { topK: 4, topP: 0.8 }, { topK: 2000, topP: 0.9 }])(
    'top_k and top_p: %o',
    (rule) => check(n, [normal(n, 2), only(n, [1, n - 1])], { rule: { ...ALL, ...rule } }),
  );
});

test('the greedy choice, and nothing that is banned', async () => {
  const logits = normal(3000, 2);
  const order = logits.map((_, id) => id).sort((a, b) => logits[b]! - logits[a]!);
  const rule = { ...ALL, greedy: true };
  const module = compileModule(samplingHead({ hiddenSize: 1, vocabSize: 3000, rmsNormEps: 0 }, rule, 'right'));
  const banned = zeros(3000);
  banned.data[order[0]!] = Number.NEGATIVE_INFINITY;
  const feeds = {
    'norm.weight': floats(Float32Array.of(1), [1]),
    'head.weight': floats(Float32Array.from(logits), [3000, 1]),
    hidden: floats(Float32Array.of(2), [1, 1]),
    uniform: zeros(1),
    inverseTemperature: floats(Float32Array.of(1), []),
  };
  expect((await module.forward({ ...feeds, banned: zeros(3000) })).id!.data[0]).toBe(order[0]);
  expect((await module.forward({ ...feeds, banned })).id!.data[0]).toBe(order[1]);
  await module.release();
});

test.each<Partial<SamplingRule>>([
  {},
  { topK: 20 },
  { topP: 0.9 },
  { topK: 20, topP: 0.9 },
  { topK: 2000, topP: 0.9 },
  { greedy: true },
])('logits that are no numbers give an id in range and no number as its log-probability: %o', async (rule) => {
  const n = 3000;
  const [bad, good] = [normal(n, 2), normal(n, 2)];
  bad[7] = Number.NaN;
  const infinite = normal(n, 2).map((x, id) => (id === 5 ? Number.POSITIVE_INFINITY : x));
  const module = compileModule(
    samplingHead({ hiddenSize: 1, vocabSize: n, rmsNormEps: 0 }, { ...ALL, ...rule }, 'right'),
  );
  for (const logits of [bad, infinite, good]) {
    const { id, logp } = await module.forward({
      'norm.weight': floats(Float32Array.of(1), [1]),
      'head.weight': floats(Float32Array.from(logits), [n, 1]),
      hidden: floats(Float32Array.of(1), [1, 1]),
      banned: zeros(n),
      uniform: floats(Float32Array.of(0.6), [1]),
      inverseTemperature: floats(Float32Array.of(1), []),
    });
    expect(id!.data[0]).toBeGreaterThanOrEqual(0);
    expect(id!.data[0]).toBeLessThan(n);
    expect(Number.isFinite(logp!.data[0]!)).toBe(logits === good);
  }
  await module.release();
});

test('any vocabulary, any tokens that are left, any uniform', () => {
  const uniform = fc.oneof(
    fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((n) => Math.min(n / 2 ** 32, 1 - 2 ** -20)),
    fc.constantFrom(...EDGES),
  );
  const property = fc.asyncProperty(
    fc.integer({ min: 1025, max: 3000 }),
    fc.integer({ min: 1, max: 40 }),
    fc.double({ min: 0.1, max: 30, noNaN: true }),
    fc.array(uniform, { minLength: 1, maxLength: 8 }),
    async (n, left, scale, draws) => {
      const allowed = new Set(Array.from({ length: left }, () => random.int(n)));
      const banned = new Set(Array.from({ length: n }, (_, id) => id).filter((id) => !allowed.has(id)));
      await check(n, [normal(n, scale)], { banned, draws });
    },
  );
  return fc.assert(property, { numRuns: 25 });
});
