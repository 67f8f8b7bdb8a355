/**
 * The scoring head in chunks of rows: values against float64, gradients of many chunks against one chunk at a time.
 */

import { describe, expect, test } from 'vitest';
import { parametersOf } from '../../src/engine/parameters.ts';
import { createScoringHead, type Targets } from '../../src/engine/scoring.ts';
import { createWorkingMemory } from '../../src/engine/working_memory.ts';
import { here } from '../../src/runtime/device.ts';
import { type FloatTensor, zeros } from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { gradientOf } from '../helpers/parameters.ts';
import { total } from '../helpers/reference.ts';

const sizes = { hiddenSize: 6, vocabSize: 50, rmsNormEps: 1e-6, tieWordEmbeddings: false };
const { hiddenSize: h, vocabSize } = sizes;
const TEMPERATURE = 0.7;
const random = createRandom(3);

function noise(...dims: number[]): FloatTensor {
  const tensor = zeros(...dims);
  for (let i = 0; i < tensor.data.length; i++) tensor.data[i] = random.normal();
  return tensor;
}

const weights = new Map([
  ['lm_head.weight', noise(vocabSize, h)],
  ['model.norm.weight', noise(h)],
]);
const hidden = noise(40, h);
/** Rows are predicted from often. */
const predict = (count: number): Targets => ({
  hiddenRows: Int32Array.from({ length: count }, () => random.int(40)),
  targets: Int32Array.from({ length: count }, () => random.int(vocabSize)),
});

/** logp and entropy of one prediction, in float64. */
function reference(row: number, target: number): { logp: number; entropy: number } {
  const x = [...hidden.data.subarray(row * h, (row + 1) * h)];
  const scale = 1 / Math.sqrt(total(x.map((v) => v * v)) / h + 1e-6);
  const normed = x.map((v, j) => v * scale * weights.get('model.norm.weight')!.data[j]!);
  const logits = Array.from(
    { length: vocabSize },
    (_, id) => total(normed.map((v, j) => v * weights.get('lm_head.weight')!.data[id * h + j]!)) / TEMPERATURE,
  );
  const logSum = Math.log(total(logits.map(Math.exp)));
  return {
    logp: logits[target]! - logSum,
    entropy: -total(logits.map((logit) => Math.exp(logit - logSum) * (logit - logSum))),
  };
}

describe.each([1, 1024, 1025, 2500])('%i predictions', (count) => {
  const predictions = predict(count);
  const scorer = async () => {
    const parameters = await parametersOf(weights, () => true);
    return { parameters, head: createScoringHead(sizes, parameters, createWorkingMemory()) };
  };

  test('values', async () => {
    const { head } = await scorer();
    const { logps, entropies } = await head.forward(hidden, predictions, { temperature: TEMPERATURE });
    const expected = [...predictions.targets].map((target, i) => reference(predictions.hiddenRows[i]!, target));
    expect(
      largestDifference(
        logps,
        expected.map(({ logp }) => logp),
      ),
    ).toBeLessThan(2e-5);
    expect(
      largestDifference(
        entropies,
        expected.map(({ entropy }) => entropy),
      ),
    ).toBeLessThan(2e-5);
    await head.release();
  });

  test('gradients add up over chunks', async () => {
    const dLogps = noise(count).data;
    const [whole, parts] = [await scorer(), await scorer()];
    const dHidden = await whole.head.backward(hidden, predictions, { temperature: TEMPERATURE }, { logps: dLogps });
    const sum = zeros(...hidden.dims);
    for (let start = 0; start < count; start += 500) {
      const part = {
        hiddenRows: predictions.hiddenRows.slice(start, start + 500),
        targets: predictions.targets.slice(start, start + 500),
      };
      const given = { logps: dLogps.slice(start, start + 500) };
      const { data } = here(await parts.head.backward(hidden, part, { temperature: TEMPERATURE }, given));
      for (let i = 0; i < data.length; i++) sum.data[i]! += data[i]!;
    }
    const bound = 1e-5 * Math.sqrt(count);
    expect(largestDifference(here(dHidden).data, sum.data)).toBeLessThan(bound);
    for (const name of weights.keys()) {
      const [got, expected] = await Promise.all([whole, parts].map(({ parameters }) => gradientOf(parameters, name)));
      expect(largestDifference(got!, expected!), name).toBeLessThan(bound);
      expect(
        expected!.some((value) => value !== 0),
        name,
      ).toBe(true);
    }
    await Promise.all([whole.head.release(), parts.head.release()]);
  });
});

test('the gradient of one log-probability by finite differences', async () => {
  const parameters = await parametersOf(weights, () => true);
  const head = createScoringHead(sizes, parameters, createWorkingMemory());
  const predictions = predict(1);
  const row = predictions.hiddenRows[0]!;
  const dHidden = await head.backward(hidden, predictions, { temperature: TEMPERATURE }, { logps: Float32Array.of(1) });
  const step = 1e-4;
  for (let j = 0; j < h; j++) {
    const at = row * h + j;
    const before = hidden.data[at]!;
    const logp = (value: number): { x: number; y: number } => {
      hidden.data[at] = value;
      return { x: hidden.data[at]!, y: reference(row, predictions.targets[0]!).logp };
    };
    const [high, low] = [logp(before + step), logp(before - step)];
    hidden.data[at] = before;
    expect(here(dHidden).data[at]).toBeCloseTo((high.y - low.y) / (high.x - low.x), 3);
  }
  await head.release();
});
