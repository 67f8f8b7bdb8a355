/**
 * The entropy bonus: loss and gradients through the scoring head against torch.autograd (test/golden/make/entropy_bonus.py), in one
 * micro-batch and in several; and whole runs, where neither micro-batches nor the source of the rows change what is learned.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parametersOf } from '../../src/engine/parameters.ts';
import { createScoringHead } from '../../src/engine/scoring.ts';
import { createWorkingMemory } from '../../src/engine/working_memory.ts';
import { countStep, grpoLoss, type LossOptions } from '../../src/grpo/loss.ts';
import { here } from '../../src/runtime/device.ts';
import { floats, zeros } from '../../src/runtime/tensor.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { gradientOf } from '../helpers/parameters.ts';
import {
  type FlagValues,
  readWeights,
  type TinyProject,
  type TinyRun,
  tinyProject,
  tinyRun,
  weightDifference,
} from '../helpers/tiny.ts';

const values = JSON.parse(readFileSync(new URL('entropy_bonus.json', import.meta.url), 'utf8')) as {
  readonly hidden_size: number;
  readonly vocab_size: number;
  readonly temperature: number;
  readonly eps: number;
  readonly lengths: readonly number[];
  readonly counted: readonly boolean[];
  readonly advantages: readonly number[];
  readonly hidden: readonly number[];
  readonly head: readonly number[];
  readonly norm: readonly number[];
  readonly targets: readonly number[];
  readonly cases: readonly {
    readonly loss_type: 'dapo' | 'grpo';
    readonly coef: number;
    readonly loss: number;
    readonly entropy: number;
    readonly d_hidden: readonly number[];
    readonly d_head: readonly number[];
    readonly d_norm: readonly number[];
  }[];
};
const { hidden_size: h, vocab_size: v, lengths, counted, temperature } = values;

/** Rows of a list in groups of these lengths. */
function split<T extends Float32Array | Int32Array>(list: T, sizes: readonly number[]): T[] {
  let next = 0;
  return sizes.map((size) => {
    next += size;
    return list.subarray(next - size, next) as T;
  });
}

describe('against torch.autograd', () => {
  test.each(values.cases.flatMap((golden) => [[6], [1, 3, 2], [1, 1, 1, 1, 1, 1]].map((parts) => ({ golden, parts }))))(
    '$golden.loss_type, coefficient $golden.coef, micro-batches of $parts',
    async ({ golden, parts }) => {
      const weights = new Map([
        ['lm_head.weight', floats(Float32Array.from(values.head), [v, h])],
        ['model.norm.weight', floats(Float32Array.from(values.norm), [h])],
      ]);
      const parameters = await parametersOf(weights, () => true);
      const sizes = { hiddenSize: h, vocabSize: v, rmsNormEps: values.eps, tieWordEmbeddings: false };
      const scorer = createScoringHead(sizes, parameters, createWorkingMemory());
      const options: LossOptions = {
        ...{ lossType: golden.loss_type, importanceSamplingLevel: 'token', beta: 0, epsilon: 0.2, epsilonHigh: 0.2 },
        ...{ delta: null, tauPos: 1, tauNeg: 1.05, offPolicySequenceMaskDelta: null, maxCompletionLength: 8 },
        entropyCoef: golden.coef,
      };
      const batches: number[][] = [];
      for (const size of parts) {
        const from = batches.flat().length;
        batches.push(Array.from({ length: size }, (_, i) => from + i));
      }
      const step = countStep(batches.map((batch) => batch.map((i) => (counted[i] ? lengths[i]! : 0))));
      const hiddenOf = split(
        Float32Array.from(values.hidden),
        lengths.map((n) => n * h),
      );
      const targetsOf = split(Int32Array.from(values.targets), lengths);
      const dHidden: number[] = [];
      let loss = 0;
      for (const batch of batches) {
        const own = batch.map((i) => lengths[i]!);
        const count = own.reduce((sum, n) => sum + n, 0);
        const hidden = zeros(count, h);
        hidden.data.set(batch.flatMap((i) => [...hiddenOf[i]!]));
        const predictions = {
          hiddenRows: Int32Array.from({ length: count }, (_, i) => i),
          targets: Int32Array.from(batch.flatMap((i) => [...targetsOf[i]!])),
        };
        const { logps, entropies } = await scorer.forward(hidden, predictions, { temperature });
        const result = grpoLoss(
          {
            ...{ logps: split(logps, own), entropies: split(entropies, own), oldLogps: null, refLogps: null },
            advantages: batch.map((i) => values.advantages[i]!),
            counted: batch.map((i) => counted[i]!),
          },
          options,
          step,
        );
        expect(result.dEntropies === null).toBe(golden.coef === 0);
        loss += result.loss;
        const flat = (rows: readonly Float64Array[]): Float32Array =>
          Float32Array.from(rows.flatMap((row) => [...row]));
        const given = { logps: flat(result.dLogps), entropies: result.dEntropies && flat(result.dEntropies) };
        dHidden.push(...here(await scorer.backward(hidden, predictions, { temperature }, given)).data);
      }
      await scorer.release();
      expect(Math.abs(loss - golden.loss)).toBeLessThan(1e-5);
      for (const [name, ours, expected] of [
        ['hidden', Float32Array.from(dHidden), golden.d_hidden],
        ['head', await gradientOf(parameters, 'lm_head.weight'), golden.d_head],
        ['norm', await gradientOf(parameters, 'model.norm.weight'), golden.d_norm],
      ] as const) {
        const largest = expected.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
        expect(largestDifference(ours, expected) / largest, name).toBeLessThan(1e-5);
      }
    },
  );
});

describe('whole runs', () => {
  const root = temporaryFolder();
  let project: TinyProject;
  beforeAll(async () => {
    project = await tinyProject(root);
  });
  let runs = 0;
  /** A large epsilon makes AdamW's step proportional to the gradient, so that weights differ no more than gradients do. */
  const run = (changes: FlagValues): Promise<TinyRun> =>
    tinyRun(project, `${runs++}`, {
      ...{ adam_epsilon: '1', learning_rate: '0.5', max_grad_norm: '0', weight_decay: '0', reward_funcs: 'letters' },
      ...{ entropy_coef: '0.05', max_completion_length: '8', ...changes },
    });
  const weightsOf = ({ folder }: TinyRun) => readWeights(join(folder, 'checkpoint-2'));

  test.each<[string, FlagValues]>([
    ['micro-batches', { per_device_train_batch_size: '2', gradient_accumulation_steps: '4' }],
    ['a forward instead of the rows of sampling', { reuse_rollout: 'false' }],
  ])('%s change nothing', async (_, changes) => {
    const [whole, other] = [await run({}), await run(changes)];
    expect(other.completions.completion).toEqual(whole.completions.completion);
    expect(weightDifference(weightsOf(other), weightsOf(whole))).toBeLessThan(1e-5);
    for (const [i, log] of other.logs.entries()) expect(Math.abs(log.loss! - whole.logs[i]!.loss!)).toBeLessThan(1e-4);
  });

  test('the loss falls by coef times the entropy, and the entropy rises', async () => {
    const [plain, bonus] = [await run({ entropy_coef: '0' }), await run({ entropy_coef: '1' })];
    const [first, second] = [plain.logs, bonus.logs] as const;
    expect(second[0]!.entropy).toBeCloseTo(first[0]!.entropy!, 6);
    expect(first[0]!.loss! - second[0]!.loss!).toBeCloseTo(first[0]!.entropy!, 5);
    const flat = { dataset: project.texts, max_steps: '2' };
    const [without, with_] = [await run({ ...flat, entropy_coef: '0' }), await run({ ...flat, entropy_coef: '3' })];
    expect(with_.logs[1]!.entropy).toBeGreaterThan(without.logs[1]!.entropy!);
  });
});
