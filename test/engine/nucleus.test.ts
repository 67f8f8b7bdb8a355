/**
 * The tokens that top_p keeps, against sums in float64: none is left out that is likelier than one that stays, without the
 * least likely of them they do not reach more than top_p, and with them they do.
 */
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { nucleus } from '../../src/engine/nucleus.ts';
import { blockWidth } from '../../src/engine/row_blocks.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { ALL_KERNELS } from '../../src/graph/kernels.ts';
import { mul } from '../../src/graph/ops/elementwise.ts';
import { softmax } from '../../src/graph/ops/reduce.ts';
import { input } from '../../src/graph/value.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import type { Executable } from '../../src/runtime/device.ts';
import { openSession } from '../../src/runtime/session.ts';
import { floats } from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';
import { largest, total } from '../helpers/reference.ts';
import { expError, ROUNDING, shareError, sumError } from '../helpers/rounding.ts';

type Compile = (graph: Graph) => Promise<Executable>;

/** The ways to find the nucleus: the device's own, and on the CPU also that of devices without float64. */
const OWN = cpu.kernels.float64 ? 'sums of bins' : 'intervals cut in halves';
const ways: Readonly<Record<string, Compile>> = {
  [OWN]: cpu.compile,
  ...(cpu.kernels.float64
    ? { 'intervals cut in halves': (graph) => openSession(graph, { kernels: { ...ALL_KERNELS, float64: false } }) }
    : {}),
};
/**
 * What the running share of n tokens may be off by: softmax, and rounding of a bin's sum and of top_p. Where sums are in float32,
 * those up to a distance and over all tokens, and the product of the latter with top_p.
 */
const tolerance = (n: number, inFloat32: boolean): number =>
  shareError(n) +
  2 * ROUNDING +
  (inFloat32 ? 2 * sumError(blockWidth(n) + Math.ceil(n / blockWidth(n))) + ROUNDING : 0);
/**
 * Nats within which tokens may count as equally likely, `distance` nats from the likeliest: the width of a bin, and for each
 * of both tokens two roundings, of its distance and of its place among the first cut's bins.
 */
const close = (distance: number): number => 32 / 2 ** 26 + 4 * distance * ROUNDING;
const random = createRandom(5);
const executables = new Map<string, Promise<Executable>>();

/** @param n tokens @param sum what probabilities add up to */
function executableOf(way: string, n: number, topP: number, sum: number): Promise<Executable> {
  const key = `${way}: ${n} tokens, ${topP} of ${sum}`;
  const known = executables.get(key);
  if (known !== undefined) return known;
  const logits = input('logits', ['N', n]);
  const kept = nucleus(mul(softmax(logits), sum), logits, topP);
  const compiled = ways[way]!({ name: 'nucleus', inputs: { logits }, outputs: { kept } });
  executables.set(key, compiled);
  return compiled;
}

afterAll(async () => {
  for (const executable of executables.values()) await (await executable).release();
});

/** Which tokens of each distribution stay; checks that their probabilities are softmax's, times `scale`. */
async function keptOf(
  way: string,
  distributions: readonly (readonly number[])[],
  topP: number,
  scale = 1,
): Promise<boolean[][]> {
  const n = distributions[0]!.length;
  const logits = floats(Float32Array.from(distributions.flat()), [distributions.length, n]);
  const { kept } = await (await executableOf(way, n, topP, scale)).run({ logits });
  return distributions.map((row, d) => {
    const top = largest(row);
    const sum = total(row.map((x) => Math.exp(x - top)));
    return row.map((x, id) => {
      const probability = (kept as { data: Float32Array }).data[d * n + id]! / scale;
      if (probability > SMALLEST) {
        const error = Math.abs(probability / (Math.exp(x - top) / sum) - 1);
        const allowed = expError(top - x) + sumError(n) + 3 * ROUNDING; // the sum, its inverse, a product, the scale
        if (error > allowed) expect.fail(`token ${id}: its probability is off by ${error}, allowed ${allowed}`);
      }
      return probability > 0;
    });
  });
}

/** Probabilities below it cannot be told from those left out: float32 has fewer digits for them, or takes them for 0. */
const SMALLEST = 1e-37;

function check(way: string, logits: readonly number[], kept: readonly boolean[], topP: number): void {
  const top = largest(logits);
  const weights = logits.map((x) => Math.exp(x - top));
  const sum = total(weights);
  const of = (chosen: (id: number) => boolean): number => total(weights.filter((_, id) => chosen(id))) / sum;
  const staying = logits.filter((_, id) => kept[id]);
  expect(staying.length).toBeGreaterThan(0);
  const least = staying.reduce((a, b) => Math.min(a, b));
  const tells = (id: number): boolean => weights[id]! / sum > SMALLEST;
  const wrong = logits.findIndex((x, id) => tells(id) && x >= least && !kept[id]);
  expect(wrong, 'a token that was left out, at least as likely as the last').toBe(-1);
  const allowed = tolerance(logits.length, way !== 'sums of bins');
  expect(of((id) => logits[id]! > least + close(top - least))).toBeLessThanOrEqual(topP + allowed);
  expect(of((id) => kept[id]! || !tells(id))).toBeGreaterThan(topP - allowed);
}

const normal = (n: number, scale: number): number[] =>
  Array.from({ length: n }, () => Math.fround(scale * random.normal()));

const TOP_PS = [1e-6, 0.1, 0.5, 0.9, 0.95, 0.999, 1 - 2 ** -20];

describe.each(Object.keys(ways))('%s', (way) => {
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
    const kept = await keptOf(way, distributions, topP);
    for (const [d, logits] of distributions.entries()) check(way, logits, kept[d]!, topP);
  });

  test.each(TOP_PS)('top_p %d of a sum that is not 1, as softmax’s is not', async (topP) => {
    // Powers of two change no rounding; the others are 100 times as far from 1 as a float32 sum of so many can be.
    const distributions = [normal(4000, 1), normal(4000, 3)];
    const kept = await keptOf(way, distributions, topP);
    for (const power of [0.5, 2]) expect(await keptOf(way, distributions, topP, power)).toEqual(kept);
    for (const scale of [0.97, 1.03]) {
      const scaled = await keptOf(way, distributions, topP, scale);
      for (const [d, logits] of distributions.entries()) check(way, logits, scaled[d]!, topP);
    }
  });

  test.each([0, 1e-4, 1e-2])(
    'a vocabulary of a published model, nearly all as likely: a deviation of %d',
    async (scale) => {
      const distributions = [normal(151_936, scale)];
      const kept = await keptOf(way, distributions, 0.9);
      check(way, distributions[0]!, kept[0]!, 0.9);
    },
  );

  test('of tokens that are all as likely, all stay', async () => {
    const [kept] = await keptOf(way, [new Array<number>(100).fill(-2)], 0.3);
    expect(kept!.every((stays) => stays)).toBe(true);
  });

  test('the token that reaches top_p exactly is followed by one more, as in transformers before it removes any', async () => {
    const [kept] = await keptOf(way, [[0.5, 0.25, 0.125, 0.125].map((p) => Math.log(p))], 0.6);
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
        const kept = await keptOf(way, distributions, topP);
        for (const [d, logits] of distributions.entries()) check(way, logits, kept[d]!, topP);
      },
    );
    return fc.assert(property, { numRuns: 60 });
  });
});
