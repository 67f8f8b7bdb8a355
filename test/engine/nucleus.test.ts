/**
 * The tokens that top_p keeps, against sums in float64: none is left out that is likelier than one that stays, without the
 * least likely of them they do not reach more than top_p, and with them they do.
 */
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { nucleus } from '../../src/engine/nucleus.ts';
import { reshape } from '../../src/graph/ops/movement.ts';
import { softmax } from '../../src/graph/ops/reduce.ts';
import { input } from '../../src/graph/value.ts';
import { compile, type Executable } from '../../src/runtime/session.ts';
import { floats } from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';
import { total } from '../helpers/reference.ts';

/** Rounding of float32 sums of probabilities. */
const TOLERANCE = 2e-6;
/** Nats within which tokens may count as equally likely: the width of a bin, and rounding. */
const CLOSE = 1e-6;
const random = createRandom(5);
const executables = new Map<number, Promise<Executable>>();

function executableOf(topP: number): Promise<Executable> {
  const known = executables.get(topP);
  if (known !== undefined) return known;
  const logits = input('logits', ['N', 'V']);
  const kept = reshape(nucleus(softmax(logits), logits, topP), ['N', 'V']);
  const compiled = compile({ name: 'nucleus', inputs: { logits }, outputs: { kept } });
  executables.set(topP, compiled);
  return compiled;
}

afterAll(async () => {
  for (const executable of executables.values()) await (await executable).release();
});

/** Which tokens of each distribution stay; checks that their probabilities are softmax's. */
async function keptOf(distributions: readonly (readonly number[])[], topP: number): Promise<boolean[][]> {
  const n = distributions[0]!.length;
  const logits = floats(Float32Array.from(distributions.flat()), [distributions.length, n]);
  const { kept } = await (await executableOf(topP)).run({ logits });
  return distributions.map((row, d) => {
    const largest = Math.max(...row);
    const sum = total(row.map((x) => Math.exp(x - largest)));
    return row.map((x, id) => {
      const probability = (kept as { data: Float32Array }).data[d * n + id]!;
      if (probability > 0) expect(Math.abs(probability / (Math.exp(x - largest) / sum) - 1)).toBeLessThan(1e-4);
      return probability > 0;
    });
  });
}

function check(logits: readonly number[], kept: readonly boolean[], topP: number): void {
  const largest = Math.max(...logits);
  const weights = logits.map((x) => Math.exp(x - largest));
  const sum = total(weights);
  const of = (chosen: (id: number) => boolean): number => total(weights.filter((_, id) => chosen(id))) / sum;
  const staying = logits.filter((_, id) => kept[id]);
  expect(staying.length).toBeGreaterThan(0);
  const least = staying.reduce((a, b) => Math.min(a, b));
  // Probabilities that are 0 in float32 cannot be told from those left out.
  const tells = (id: number): boolean => weights[id]! / sum > 1e-37;
  for (const id of logits.keys()) {
    if (tells(id) && logits[id]! >= least) expect(kept[id], `token ${id}, at least as likely as the last`).toBe(true);
  }
  expect(of((id) => logits[id]! > least + CLOSE)).toBeLessThanOrEqual(topP + TOLERANCE);
  expect(of((id) => kept[id]! || !tells(id))).toBeGreaterThan(topP - TOLERANCE);
}

const normal = (n: number, scale: number): number[] =>
  Array.from({ length: n }, () => Math.fround(scale * random.normal()));

const TOP_PS = [1e-6, 0.1, 0.5, 0.9, 0.95, 0.999, 1 - 2 ** -20];

test.each(TOP_PS)('top_p %d', async (topP) => {
  const n = 4000;
  const distributions = [
    normal(n, 0.001),
    normal(n, 1),
    normal(n, 8),
    normal(n, 100),
    normal(n, 1).map((x) => Math.round(4 * x) / 4), // many as likely as others
    normal(n, 1).map((x) => Math.fround(x + 1e4)), // rounded to thousandths
    normal(n, 1).map((x, id) => (id % 5 === 0 ? x : Number.NEGATIVE_INFINITY)), // banned
    Array.from({ length: n }, (_, id) => (id === 17 ? 3 : Number.NEGATIVE_INFINITY)),
    Array.from({ length: n }, (_, id) => (id === 17 ? 60 : 0)),
  ];
  const kept = await keptOf(distributions, topP);
  for (const [d, logits] of distributions.entries()) check(logits, kept[d]!, topP);
});

test('of tokens that are all as likely, all stay', async () => {
  const [kept] = await keptOf([new Array<number>(100).fill(-2)], 0.3);
  expect(kept!.every((stays) => stays)).toBe(true);
});

test('the token that reaches top_p exactly is followed by one more, as in transformers before it removes any', async () => {
  const [kept] = await keptOf([[0.5, 0.25, 0.125, 0.125].map((p) => Math.log(p))], 0.6);
  expect(kept).toEqual([true, true, false, false]);
});

test('any vocabulary, scale and top_p', () => {
  const property = fc.asyncProperty(
    fc.integer({ min: 1, max: 3000 }),
    fc.double({ min: 1e-3, max: 40, noNaN: true }),
    fc.constantFrom(...TOP_PS),
    fc.integer({ min: 1, max: 4 }),
    async (n, scale, topP, rows) => {
      const distributions = Array.from({ length: rows }, () => normal(n, scale));
      const kept = await keptOf(distributions, topP);
      for (const [d, logits] of distributions.entries()) check(logits, kept[d]!, topP);
    },
  );
  return fc.assert(property, { numRuns: 60 });
});
