/**
 * Whole GRPO runs on a tiny random checkpoint: what they log, leave behind and train, and which of their options must
 * not change the result.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { rlhf } from '../../src/cli/rlhf.ts';
import type { VisionLanguageModel } from '../../src/engine/model.ts';
import { metricOf } from '../../src/metrics/table.ts';
import { isOwnedMetric } from '../../src/rewards/metric.ts';
import { here } from '../../src/runtime/device.ts';
import { pretendIo } from '../cli/io.ts';
import { SEEDS } from '../helpers/draws.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  type FlagValues,
  pictureRow,
  readLines,
  readRun,
  readWeights,
  runFolder,
  type TinyProject,
  type TinyRun,
  tinyFlags,
  tinyProject,
  tinyRun,
  weightDifference,
  writeRows,
} from '../helpers/tiny.ts';

/** Forwards through a model's decoder, as it was asked for them. */
interface Forward {
  readonly implementation: string;
  /** It keeps what a backward needs: it is learned from. */
  readonly keeps: boolean;
}

// Every model that is made, the policy of a run first, and the forwards of each.
// `poison`: whether the gradients of a backward are no numbers.
const spied = vi.hoisted(() => ({
  models: [] as unknown[],
  forwards: [] as unknown[][],
  poison: (): boolean => false,
}));
vi.mock('../../src/engine/model.ts', async (importOriginal) => {
  const original = await importOriginal<typeof import('../../src/engine/model.ts')>();
  return {
    ...original,
    createModel: (...args: Parameters<typeof original.createModel>) => {
      const model = original.createModel(...args);
      const forwards: unknown[] = [];
      const forward = model.decoder.forward.bind(model.decoder);
      vi.spyOn(model.decoder, 'forward').mockImplementation((batch, x, options) => {
        forwards.push({ implementation: options.implementation, keeps: options.keep !== false });
        return forward(batch, x, options);
      });
      const backward = model.backward.bind(model);
      vi.spyOn(model, 'backward').mockImplementation(async (tape, dLogps) => {
        await backward(tape, dLogps);
        const { trained } = model.parameters;
        if (spied.poison()) here(model.parameters.gradient(trained[0]!)).data[0] = Number.NaN;
      });
      spied.models.push(model);
      spied.forwards.push(forwards);
      return model;
    },
  };
});
beforeEach(() => {
  spied.models.length = 0;
  spied.forwards.length = 0;
  spied.poison = () => false;
});
const policyOf = (): VisionLanguageModel => spied.models[0] as VisionLanguageModel;

const root = temporaryFolder();
let project: TinyProject;
let initial: ReadonlyMap<string, Float32Array>;
beforeAll(async () => {
  project = await tinyProject(root);
  initial = readWeights(project.model);
});

let runs = 0;
const run = (changes: FlagValues = {}): Promise<TinyRun> => tinyRun(project, `${runs++}`, changes);
const seeded = new Map<string, Promise<TinyRun>>();

/**
 * Runs with a seed with which all draw the same tokens, so that the rest can be compared. Their kernels round differently, and
 * where a draw lies at the very edge of a token's share, rounding decides.
 */
async function sameDraws<Changes extends readonly FlagValues[]>(
  changes: readonly [...Changes],
): Promise<{ [K in keyof Changes]: TinyRun }> {
  for (const seed of SEEDS) {
    const made: TinyRun[] = [];
    for (const flags of changes) {
      const key = JSON.stringify({ ...flags, seed });
      const started = seeded.get(key) ?? run({ ...flags, seed: `${seed}` });
      seeded.set(key, started);
      made.push(await started);
    }
    if (new Set(made.map(({ completions }) => JSON.stringify(completions.completion))).size === 1) {
      return made as { [K in keyof Changes]: TinyRun };
    }
  }
  return expect.fail(`with none of the seeds ${SEEDS} the runs draw the same tokens`);
}

const weightsAt = (tiny: TinyRun, step = 2): Map<string, Float32Array> =>
  readWeights(join(tiny.folder, `checkpoint-${step}`));
const visual = (name: string): boolean => name.startsWith('visual.');
const merger = (name: string): boolean => name.startsWith('visual.merger.');

/** Names of the tensors that are not what the run began with. */
function moved(weights: ReadonlyMap<string, Float32Array>): string[] {
  return [...weights]
    .filter(([name, values]) => values.some((value, i) => value !== initial.get(name)![i]))
    .map(([name]) => name);
}

/** A run's records without what depends on the machine, or on whether a forward was run. */
function comparable({ logs }: TinyRun): Record<string, number>[] {
  const machine = ['step_time', 'elapsed_time', 'remaining_time', 'memory(GiB)', 'train_speed(s/it)'];
  return logs.map((log) =>
    Object.fromEntries(Object.entries(log).filter(([name]) => !machine.includes(name) && !NOT_ALWAYS.test(name))),
  );
}

/** Metrics that only some ways of computing a step can log, and times. */
const NOT_ALWAYS = /^(sampling\/|step_time\/|attention\/\w+_mass)/;

describe('a run', () => {
  let first: TinyRun;
  let final: ReadonlyMap<string, Float32Array>;
  beforeAll(async () => {
    first = await run();
    const { parameters } = policyOf();
    final = new Map(parameters.names.map((name) => [name, here(parameters.value(name)).data.slice()]));
  });

  test('logs the names of ms-swift, all finite', () => {
    const names = [
      'loss',
      'grad_norm',
      'learning_rate',
      'reward',
      'reward_std',
      'frac_reward_zero_std',
      'rewards/DDAPOAttentionORM/mean',
      'rewards/DDAPOAttentionORM/std',
      'rewards/Letters/mean',
      'rewards/Letters/std',
      'completions/mean_length',
      'completions/min_length',
      'completions/max_length',
      'completions/clipped_ratio',
      'clip_ratio/low_mean',
      'clip_ratio/low_min',
      'clip_ratio/high_mean',
      'clip_ratio/high_max',
      'clip_ratio/region_mean',
      'entropy/mean',
      'attention/tdr_mean',
      'attention/tdr_std',
      'attention/undefined_frac',
      'attention/corr_tdr_Letters',
      'step_time',
      'epoch',
    ];
    expect(first.logs.map((log) => log['global_step/max_steps'])).toEqual(['1/2', '2/2']);
    for (const log of first.logs) {
      for (const name of names) expect(Number.isFinite(log[name]), `${name} is ${log[name]}`).toBe(true);
      expect(log).not.toHaveProperty('kl'); // no reference without beta
    }
    expect(first.logs.map(({ epoch }) => epoch)).toEqual([0.33333333, 0.66666667]);
  });

  test('logs the seconds of each part of a step that there is, which make up the step', () => {
    for (const log of first.logs) {
      const parts = Object.entries(log).filter(([name]) => name.startsWith('step_time/'));
      expect(parts.map(([name]) => name)).toEqual(
        ['data', 'rollout', 'reward', 'attention', 'backward', 'update'].map((part) => `step_time/${part}`),
      );
      for (const [, seconds] of parts) expect(seconds).toBeGreaterThan(0);
      expect(parts.reduce((sum, [, seconds]) => sum + seconds, 0)).toBeLessThanOrEqual(log.step_time! + 1e-6);
    }
  });

  test('what it logs is in the table of metrics, but for the clock', () => {
    const names = [...new Set(first.logs.flatMap((log) => Object.keys(log)))];
    const clock = ['global_step/max_steps', 'elapsed_time', 'remaining_time'];
    expect(names.filter((name) => metricOf(name) === null)).toEqual(clock);
  });

  test('what it logs, but for what its rewards log, is no name for a reward to log under', () => {
    const ofReward = [
      'attention/tdr_mean',
      'attention/tdr_std',
      'attention/undefined_frac',
      'attention/corr_tdr_Letters',
    ];
    expect(Object.keys(first.logs[0]!).filter((name) => !isOwnedMetric(name))).toEqual(ofReward);
  });

  test('reward is the weighted sum, the plain attention reward is -TDR, lengths are those of the completions', () => {
    for (const [i, log] of first.logs.entries()) {
      expect(log['rewards/DDAPOAttentionORM/mean']).toBeCloseTo(-log['attention/tdr_mean']!, 7);
      expect(log.reward).toBeCloseTo(log['rewards/DDAPOAttentionORM/mean']! + log['rewards/Letters/mean']!, 7);
      const lengths = (first.completions.length as number[]).slice(8 * i, 8 * (i + 1));
      expect(log['completions/mean_length']).toBeCloseTo(lengths.reduce((sum, x) => sum + x, 0) / 8, 7);
      expect(Math.max(...lengths)).toBeLessThanOrEqual(8);
    }
  });

  test('on policy the ratio is 1: no loss with normalised advantages, nothing clipped, yet a gradient', () => {
    for (const log of first.logs) {
      expect(Math.abs(log.loss!)).toBeLessThan(1e-6);
      for (const name of Object.keys(log).filter((key) => key.startsWith('clip_ratio/')))
        expect(log[name], name).toBe(0);
      expect(log.grad_norm).toBeGreaterThan(0.1);
    }
  });

  test('leaves the folder of ms-swift', () => {
    expect(readdirSync(first.folder).sort()).toEqual([
      'args.json',
      'attention',
      'checkpoint-2',
      'completions.jsonl',
      'logging.jsonl',
      'runs',
    ]);
    const args = JSON.parse(readFileSync(join(first.folder, 'args.json'), 'utf8'));
    expect(args).toMatchObject({
      learning_rate: 0.01,
      reward_funcs: ['ddapo_attention', 'letters'],
      num_generations: 4,
    });
    expect(first.last).toMatchObject({
      status: 'completed',
      global_step: 2,
      last_model_checkpoint: join(first.folder, 'checkpoint-2'),
    });
    expect(readdirSync(join(first.folder, 'runs')).length).toBe(1);
  });

  test('completions.jsonl has each completion with its rewards, raw ratio and advantage', () => {
    const { completions } = first;
    expect(Object.keys(completions).sort()).toEqual(
      [
        ...[
          'step',
          'prompt',
          'completion',
          'ddapo_attention',
          'letters',
          'advantages',
          'tdr',
          'length',
          'entropy',
          'truncated',
        ],
        ...['solution', 'source', 'index', 'images'],
      ].sort(),
    );
    for (const [name, values] of Object.entries(completions)) expect(values.length, name).toBe(16);
    // each of them leads to its row and its picture
    for (const [i, source] of completions.source!.entries()) {
      const index = Number(completions.index![i]);
      expect(source).toBe(`${project.pictures}:${index + 1}`);
      expect(completions.images![i]).toEqual([join(root, `${index}.png`)]);
      expect(completions.prompt![i]).toContain(`which colour is shape ${index}?`);
      expect(completions.solution![i]).toBe('red');
    }
    for (const [i, tdr] of completions.tdr!.entries()) {
      expect(tdr).toBeGreaterThan(0);
      expect(completions.ddapo_attention![i]).toBe(-(tdr as number));
    }
    for (let group = 0; group < 4; group++) {
      const advantages = (completions.advantages as number[]).slice(4 * group, 4 * group + 4);
      expect(advantages.reduce((sum, x) => sum + x, 0)).toBeCloseTo(0, 10);
      expect(new Set(completions.prompt!.slice(4 * group, 4 * group + 4)).size).toBe(1);
    }
  });

  test('its checkpoint loads again and holds the final weights', async () => {
    const saved = weightsAt(first);
    expect(weightDifference(saved, final)).toBe(0);
    const again = await run({ model: join(first.folder, 'checkpoint-2'), max_steps: '1' });
    expect(again.logs).toHaveLength(1);
    expect(existsSync(join(again.folder, 'checkpoint-1', 'config.json'))).toBe(true);
  });

  test('moves every parameter of the decoder and none of the vision tower', () => {
    expect(moved(final).sort()).toEqual([...initial.keys()].filter((name) => !visual(name)).sort());
  });

  test('run again: the same records, completions and weights, bit by bit', async () => {
    const again = await run();
    expect(comparable(again)).toEqual(comparable(first));
    expect(again.completions).toEqual(first.completions);
    expect(weightDifference(weightsAt(again), final)).toBe(0);
  });

  test('another seed samples other completions of the same rows', async () => {
    const other = await run({ seed: '43' });
    expect(other.completions.prompt).toEqual(first.completions.prompt);
    expect(other.completions.completion).not.toEqual(first.completions.completion);
  });
});

// A large epsilon makes AdamW's step proportional to the gradient, so that weights differ no more than gradients do.
const SMOOTH = { adam_epsilon: '1', learning_rate: '0.5', max_grad_norm: '0', weight_decay: '0' };

describe('the same result, computed otherwise', () => {
  test('which moves the weights', async () => {
    const [plain] = await sameDraws([SMOOTH]);
    expect(weightDifference(weightsAt(plain), initial)).toBeGreaterThan(0.1);
  });

  test.each([
    ['one eager forward a completion', { attn_probe: 'eager' }],
    ['masses of the forward that is learned from', { attn_probe: 'fused' }],
    ['a forward of its own to learn from', { reuse_rollout: 'false' }],
    ['the same, eager probe', { reuse_rollout: 'false', attn_probe: 'eager' }],
    ['blocks recomputed instead of residuals kept', { reuse_rollout: 'false', gradient_checkpointing: 'true' }],
    ['blocks recomputed from the rollout', { gradient_checkpointing: 'true' }],
    ['blocks recomputed, eager probe', { reuse_rollout: 'false', gradient_checkpointing: 'true', attn_probe: 'eager' }],
    ['residuals kept because it is said so', { gradient_checkpointing: 'false' }],
    ['flash attention', { attn_impl: 'flash_attention_2' }],
    ['eager attention', { attn_impl: 'eager' }],
    ['flash attention, a forward of its own', { attn_impl: 'flash_attention_2', reuse_rollout: 'false' }],
    ['eager attention, a forward of its own', { attn_impl: 'eager', reuse_rollout: 'false' }],
    ['two micro-batches', { per_device_train_batch_size: '4', gradient_accumulation_steps: '2' }],
    ['four micro-batches, groups split', { per_device_train_batch_size: '2', gradient_accumulation_steps: '4' }],
    [
      'two micro-batches, eager probe',
      { per_device_train_batch_size: '4', gradient_accumulation_steps: '2', attn_probe: 'eager' },
    ],
  ])('%s', async (_, changes) => {
    const [plain, other] = await sameDraws([SMOOTH, { ...SMOOTH, ...changes }]);
    for (const name of ['ddapo_attention', 'letters', 'tdr', 'entropy']) {
      expect(largestError(other.completions[name], plain.completions[name]!), name).toBeLessThan(1e-5);
    }
    for (const [i, log] of comparable(other).entries()) {
      const reference = comparable(plain)[i]!;
      expect(Object.keys(log).sort()).toEqual(Object.keys(reference).sort());
      for (const [name, value] of Object.entries(log)) {
        if (typeof value === 'number') expect(Math.abs(value - reference[name]!), name).toBeLessThan(1e-4);
      }
    }
    expect(weightDifference(weightsAt(other), weightsAt(plain))).toBeLessThan(1e-5);
  });
});

test('micro-batches of one and a half groups: each completion keeps what is its own', async () => {
  const eager = { ...SMOOTH, attn_probe: 'eager' };
  const [whole, parts] = await sameDraws([
    { ...eager, per_device_train_batch_size: '12' },
    { ...eager, per_device_train_batch_size: '6', gradient_accumulation_steps: '2' },
  ]);
  expect(parts.stdout).toContain('groups are split over micro-batches');
  for (const name of ['tdr', 'entropy', 'advantages']) {
    expect(largestError(parts.completions[name], whole.completions[name]!), name).toBeLessThan(1e-4);
  }
  expect(weightDifference(weightsAt(parts), weightsAt(whole))).toBeLessThan(1e-5);
});

describe('attention implementations', () => {
  test('the reward switches to eager and back; what is learned from runs on flash', async () => {
    await run({ attn_impl: 'flash_attention_2', attn_probe: 'eager', reuse_rollout: 'false', attn_log_limit: '0' });
    expect(policyOf().config._attn_implementation).toBe('flash_attention_2');
    const forwards = spied.forwards[0] as Forward[];
    const implementations = (keeps: boolean): string[] =>
      forwards.filter((forward) => forward.keeps === keeps).map(({ implementation }) => implementation);
    expect(implementations(true)).toEqual(['flash_attention_2', 'flash_attention_2']);
    // a prefill, then one eager forward a completion, in each step
    const step = ['flash_attention_2', ...Array.from({ length: 8 }, () => 'eager')];
    expect(implementations(false)).toEqual([...step, ...step]);
  });

  test('a rollout that is learned from as it is needs no forward of its own', async () => {
    await run({ attn_impl: 'flash_attention_2', attn_probe: 'fused', attn_log_limit: '0' });
    const forwards = spied.forwards[0] as Forward[];
    expect(forwards).toEqual([
      { implementation: 'flash_attention_2', keeps: false },
      { implementation: 'flash_attention_2', keeps: false },
    ]);
  });

  test('auto makes eager forwards for the first call only, fused none', async () => {
    await run({ attn_impl: 'flash_attention_2' });
    await run({ attn_impl: 'flash_attention_2', attn_probe: 'fused' });
    const eager = (spied.forwards as Forward[][]).map(
      (forwards) => forwards.filter(({ implementation }) => implementation === 'eager').length,
    );
    expect(eager).toEqual([8, 0]);
  });

  test('in both layouts of a config, nothing is left switched', async () => {
    await run({ attn_impl: 'flash_attention_2', gradient_checkpointing: 'true' });
    const before = JSON.parse(readFileSync(join(project.model, 'config.json'), 'utf8'));
    expect(policyOf().config).toEqual({ ...before, _attn_implementation: 'flash_attention_2' });
    expect(policyOf().is_gradient_checkpointing).toBe(true);
  });
});

describe('what is trained', () => {
  test('--freeze_vit false trains the vision tower, its merger only with --freeze_aligner false', async () => {
    const tower = moved(weightsAt(await run({ freeze_vit: 'false' })));
    expect(tower.filter(merger)).toEqual([]);
    expect(tower.sort()).toEqual([...initial.keys()].filter((name) => !merger(name)).sort());
    const both = moved(weightsAt(await run({ freeze_vit: 'false', freeze_aligner: 'false' })));
    expect(both.sort()).toEqual([...initial.keys()].sort());
    const aligner = moved(weightsAt(await run({ freeze_llm: 'true', freeze_aligner: 'false' })));
    expect(aligner.sort()).toEqual([...initial.keys()].filter(merger).sort());
  });

  test('with a trained tower micro-batches still add up', async () => {
    const unfrozen = { ...SMOOTH, freeze_vit: 'false', freeze_aligner: 'false' };
    const [whole, forward, parts] = await sameDraws([
      unfrozen,
      { ...unfrozen, reuse_rollout: 'false' },
      { ...unfrozen, per_device_train_batch_size: '2', gradient_accumulation_steps: '4' },
    ]);
    expect(weightDifference(weightsAt(whole), weightsAt(forward))).toBeLessThan(1e-5);
    expect(weightDifference(weightsAt(whole), weightsAt(parts))).toBeLessThan(1e-5);
    expect(moved(weightsAt(whole)).filter(visual).length).toBeGreaterThan(10);
  });
});

describe('off policy', () => {
  // The slightest change of a ratio is clipped, and so counted.
  const NARROW = { epsilon: '1e-6', epsilon_high: '1e-6' };

  test('a rollout used twice: ratios leave 1 in the second pass, and the next rollout starts at 1 again', async () => {
    const { logs, completions } = await run({ ...NARROW, num_iterations: '2', max_steps: '4' });
    expect(logs.map((log) => log['clip_ratio/region_mean']! > 0)).toEqual([false, true, false, true]);
    expect(logs.map(({ loss }) => Math.abs(loss!) > 1e-6)).toEqual([false, true, false, true]);
    expect(logs.map((log) => 'reward' in log)).toEqual([true, false, true, false]);
    expect(completions.completion).toHaveLength(16);
    expect(logs.at(-1)!.epoch).toBeCloseTo(4 / 6, 6);
  });

  test('a rollout for two steps: the second one is off policy', async () => {
    const { logs, completions } = await run({
      ...NARROW,
      per_device_train_batch_size: '4',
      steps_per_generation: '2',
      max_steps: '4',
    });
    expect(logs.map((log) => log['clip_ratio/region_mean']! > 0)).toEqual([false, true, false, true]);
    expect(completions.completion).toHaveLength(16);
  });

  test('two passes do not depend on the probe or on micro-batches', async () => {
    const twice = { ...SMOOTH, num_iterations: '2', max_steps: '4' };
    const reference = await run(twice);
    for (const changes of [
      { attn_probe: 'eager' },
      { per_device_train_batch_size: '4', gradient_accumulation_steps: '2' },
    ] as const) {
      const other = await run({ ...twice, ...changes });
      expect(weightDifference(weightsAt(other, 4), weightsAt(reference, 4))).toBeLessThan(1e-5);
    }
  });
});

test('beta: the divergence from the start is 0 at first and grows', async () => {
  const { logs } = await run({ beta: '0.04', max_steps: '3' });
  expect(logs.map(({ kl }) => kl! > 1e-6)).toEqual([false, true, true]);
  expect(Math.abs(logs[0]!.kl!)).toBeLessThan(1e-9);
  expect(spied.models).toHaveLength(2);
});

test.each(
  ['grpo', 'bnpo', 'dr_grpo', 'dapo'].flatMap((loss) => [[loss, 'token'] as const, [loss, 'sequence'] as const]),
)('loss type %s with ratios per %s', async (loss_type, importance_sampling_level) => {
  const { logs } = await run({ loss_type, importance_sampling_level, num_iterations: '2', beta: '0.01' });
  expect(logs).toHaveLength(2);
  for (const { loss, grad_norm, kl } of logs) {
    expect([loss, grad_norm, kl].every(Number.isFinite)).toBe(true);
    expect(grad_norm).toBeGreaterThan(0);
  }
});

test.each(['group', 'batch', 'none'])('scale_rewards %s', async (scale_rewards) => {
  const { completions } = await run({ scale_rewards, max_steps: '1' });
  const advantages = completions.advantages as number[];
  expect(Math.max(...advantages.map(Math.abs))).toBeGreaterThan(0.01);
  for (const group of [advantages.slice(0, 4), advantages.slice(4)]) {
    expect(group.reduce((sum, x) => sum + x, 0)).toBeCloseTo(0, 10);
  }
});

test('evaluation: before, at every interval and at the end, without a trace in what is trained', async () => {
  const evaluated = await run({
    val_dataset: project.texts,
    eval_on_start: 'true',
    eval_strategy: 'steps',
    eval_steps: '1',
    num_generations_eval: '1',
    per_device_eval_batch_size: '4',
    eval_temperature: '0',
  });
  const records = readRecords(evaluated);
  const evaluations = records.filter((record) => 'eval_reward' in record);
  expect(evaluations).toHaveLength(3);
  for (const record of evaluations) {
    expect(record['eval_attention/undefined_frac']).toBe(1);
    expect(record['eval_rewards/Letters/mean']).toBe(record.eval_reward);
    expect(record).not.toHaveProperty('eval_rewards/DDAPOAttentionORM/mean');
  }
  const plain = await run();
  expect(weightDifference(weightsAt(plain), weightsAt(evaluated))).toBe(0);
  expect(evaluated.last.best_model_checkpoint).toBe(join(evaluated.folder, 'checkpoint-2'));
});

test.each<Record<string, string>>([{}, { top_p: '0.9' }, { top_k: '20', top_p: '0.9' }])(
  'weights that have diverged end the run before anything is judged, with exit code 4, and are not saved: %o',
  async (changes) => {
    const name = `diverged ${Object.keys(changes).join()}`;
    const diverging = tinyRun(project, name, { learning_rate: '1e38', max_steps: '20', ...changes });
    await expect(diverging).rejects.toMatchObject({
      code: 'E_DIVERGED',
      exitCode: 4,
      message: expect.stringContaining("the model's output is not finite: token 1 has no probability"),
    });
    const folder = runFolder(join(root, 'runs', name));
    expect(readdirSync(folder).filter((name) => name.startsWith('checkpoint'))).toEqual([]);
    const logs = readLines<Record<string, unknown>>(join(folder, 'logging.jsonl'));
    expect(logs.map((record) => record['global_step/max_steps'])).toEqual(['1/20']);
  },
);

test('steps of gradients that are not finite are skipped, counted and given up after five, with no part in the means', async () => {
  let steps = 0;
  spied.poison = () => ++steps > 1;
  const skipping = tinyRun(project, 'skipped', { logging_steps: '2', max_steps: '20' });
  await expect(skipping).rejects.toMatchObject({ code: 'E_DIVERGED', exitCode: 4 });
  const logs = readLines<Record<string, unknown>>(join(runFolder(join(root, 'runs', 'skipped')), 'logging.jsonl'));
  expect(logs.map((record) => [record['global_step/max_steps'], record.skipped_steps])).toEqual([
    ['1/20', undefined],
    ['2/20', 1],
    ['4/20', 1],
  ]);
  expect(logs.map((record) => 'loss' in record && 'grad_norm' in record)).toEqual([true, false, false]);
});

test('a disk that refuses a save amid the run does not end it', async () => {
  // The run's folder is away while the save after step 2 is due.
  const folder = join(root, 'runs', 'refused');
  const plugin = join(root, 'away.ts');
  writeFileSync(
    plugin,
    `import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { orms } from 'sightline';
const folder = ${JSON.stringify(folder)};
class Away {
  call(completions, { trainer_state }) {
    if (trainer_state.global_step === 1) {
      renameSync(folder, folder + '.away');
      writeFileSync(folder, '');
    }
    if (trainer_state.global_step === 2) {
      rmSync(folder);
      renameSync(folder + '.away', folder);
    }
    return completions.map((text) => text.length);
  }
}
orms['away'] = Away;
`,
  );
  const { io, text } = pretendIo();
  const away = { external_plugins: plugin, reward_funcs: 'away', max_steps: '3', save_steps: '1' };
  await rlhf(tinyFlags(project, { ...away, output_dir: folder, add_version: 'false' }), io);
  expect(text.stdout).toContain(
    'step 2 could not be saved; the run continues until the next save: the folder cannot be written',
  );
  const names = readdirSync(folder).filter((name) => name.startsWith('checkpoint'));
  expect(names.sort()).toEqual(['checkpoint-1', 'checkpoint-3']);
  expect(readRun(folder).last).toMatchObject({
    status: 'completed',
    last_model_checkpoint: join(folder, 'checkpoint-3'),
  });
});

test('a dry run resamples as the run does, and says how often', async () => {
  const { io, text } = pretendIo({});
  const changes = {
    ...{ dynamic_sample: 'true', max_resample_times: '1', dry_run: 'true', max_steps: '2' },
    ...{ dataset: project.texts, reward_funcs: ['format'], output_dir: join(root, 'resampled') },
  };
  await rlhf(tinyFlags(project, changes), io);
  // No completion has the format, so all groups are equal: each rollout draws as many batches as it may.
  expect(text.stdout).toMatch(/dry run: dynamic sampling drew 2\.0 batches of prompts for a rollout, of at most 2;/);
});

test('a dry run of rows that are all too long says so', async () => {
  const texts = { dataset: project.texts, max_length: '5', truncation_strategy: 'delete', dry_run: 'true' };
  await expect(tinyRun(project, 'dry', texts)).rejects.toMatchObject({
    code: 'E_DATASET_EMPTY',
    message: expect.stringContaining('all 6 rows are longer than the limit'),
  });
});

test('a dry run shows what will run, how long all of it takes, and leaves nothing', async () => {
  const parent = join(root, 'runs', 'rehearsed');
  const { io, text } = pretendIo();
  const evaluated = { val_dataset: project.pictures, eval_strategy: 'steps', eval_steps: '3', eval_on_start: 'true' };
  const changes = { ...evaluated, dry_run: 'true', output_dir: parent, max_steps: '6', save_steps: '3' };
  await rlhf(tinyFlags(project, changes), io);
  expect(existsSync(parent)).toBe(false);
  expect(text.stdout).toMatch(/^sightline [\d.]+ rlhf\nmodel {4}.*\n.*\ndata {5}6 rows, 6 for evaluation\n/);
  expect(text.stdout).toContain('output   none: a dry run writes nothing\nsteps    6\n');
  expect(text.stdout).toMatch(
    /dry run: the whole run takes about [\d.]+s for 6 steps and at most [\d.]+s for 3 evaluations of [\d.]+s; 2 checkpoints are not counted\n/,
  );
  expect(text.stdout.endsWith('dry run: done; nothing was written\n')).toBe(true);
});

test('a run that is stopped before it begins leaves nothing behind', async () => {
  const signal = AbortSignal.abort();
  await expect(tinyRun(project, 'stopped', {}, signal)).rejects.toBe(signal.reason);
  expect(existsSync(join(root, 'runs', 'stopped'))).toBe(false);
});

test('a last answer in a row is no part of the prompt', async () => {
  const answered = join(root, 'answered.jsonl');
  const rows = Array.from({ length: 6 }, (_, i) => pictureRow(`${i}.png`, `which colour is shape ${i}?`));
  writeRows(
    answered,
    rows.map((row) => ({ ...row, messages: [...row.messages, { role: 'assistant', content: 'red' }] })),
  );
  const plain = await run({ max_steps: '1' });
  const other = await run({ max_steps: '1', dataset: answered });
  expect(other.completions.prompt).toEqual(plain.completions.prompt);
  expect(other.completions.completion).toEqual(plain.completions.completion);
});

test('rows that are too long are passed over and told with --truncation_strategy delete', async () => {
  const mixed = join(root, 'mixed.jsonl');
  writeRows(mixed, [
    pictureRow('0.png', 'short?'),
    pictureRow('1.png', 'long '.repeat(200)),
    pictureRow('2.png', 'short too?'),
  ]);
  const { logs, stdout, completions } = await run({
    dataset: mixed,
    max_length: '100',
    truncation_strategy: 'delete',
    max_steps: '3',
  });
  expect(logs).toHaveLength(3);
  expect(stdout).toMatch(/\d times? a row was skipped because its prompt is too long/);
  expect(completions.prompt!.some((prompt) => String(prompt).includes('long long'))).toBe(false);
});

test('the debug lines come once in a run, whatever it calls and however often', async () => {
  for (const changes of [
    {},
    { attn_probe: 'eager' },
    { max_steps: '3', eval_strategy: 'steps', eval_steps: '1', val_dataset: project.pictures },
  ]) {
    const { stdout } = await run(changes);
    const lines = stdout.split('\n').filter((line) => line.includes('[DDAPO_DEBUG]'));
    expect(new Set(lines).size).toBe(lines.length);
    for (const topic of [
      'model kwargs: ',
      'output_attentions: true',
      'config: ',
      'text_config: ',
      'is_gradient_checkpointing: ',
      'outputs: ',
      'attentions is null: false',
      'attentions: Array of length 2',
    ]) {
      expect(
        lines.filter((line) => line.startsWith(`[DDAPO_DEBUG] ${topic}`)),
        topic,
      ).toHaveLength(1);
    }
  }
});

function readRecords({ folder }: TinyRun): Record<string, unknown>[] {
  return readLines<Record<string, unknown>>(join(folder, 'logging.jsonl'));
}

function largestError(values: readonly unknown[] | undefined, others: readonly unknown[]): number {
  if (values?.length !== others.length) return Number.POSITIVE_INFINITY;
  return values.reduce((worst: number, value, i) => Math.max(worst, Math.abs(Number(value) - Number(others[i]))), 0);
}
