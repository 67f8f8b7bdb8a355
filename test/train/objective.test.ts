/** Whole runs with the flags of the objective: what they log, and that micro-batches do not change what they learn. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  type FlagValues,
  readWeights,
  type TinyProject,
  type TinyRun,
  tinyProject,
  tinyRun,
  weightDifference,
} from '../helpers/tiny.ts';

const root = temporaryFolder();
let project: TinyProject;
beforeAll(async () => {
  project = await tinyProject(root);
});

/** A large epsilon makes AdamW's step proportional to the gradient, so that weights differ no more than gradients do. */
const SMOOTH: FlagValues = {
  ...{ adam_epsilon: '1', learning_rate: '0.5', max_grad_norm: '0', weight_decay: '0' },
  reward_funcs: 'letters',
};
let runs = 0;
const run = (changes: FlagValues): Promise<TinyRun> => tinyRun(project, `${runs++}`, { ...SMOOTH, ...changes });
const weightsOf = ({ folder }: TinyRun, step: number): Map<string, Float32Array> =>
  readWeights(join(folder, `checkpoint-${step}`));

describe('micro-batches do not change what is learned', () => {
  test.each<[string, FlagValues]>([
    ['cispo', { loss_type: 'cispo', epsilon_high: '1.01', num_iterations: '2' }],
    ['sapo', { loss_type: 'sapo', num_iterations: '2', beta: '0.1' }],
    ['dapo, ratios per sequence and token', { loss_type: 'dapo', importance_sampling_level: 'sequence_token' }],
    ['tokens of high entropy', { top_entropy_quantile: '0.3', num_iterations: '2', beta: '0.1' }],
    ['overlong filter', { overlong_filter: 'true', loss_type: 'dapo', max_completion_length: '6' }],
    ['off-policy mask', { off_policy_sequence_mask_delta: '1e-3', num_iterations: '2' }],
    ['KL in the reward', { kl_in_reward: 'true', beta: '0.5' }],
    ['leave-one-out', { advantage_estimator: 'rloo', beta: '0.5' }],
    ['reinforce++', { advantage_estimator: 'reinforce_plus_plus', beta: '0' }],
    [
      'correction of the rollout',
      { rollout_importance_sampling_mode: 'token_truncate', loss_type: 'dapo', beta: '0.1', num_iterations: '2' },
    ],
    ['gdpo', { scale_rewards: 'gdpo', reward_funcs: ['ddapo_attention', 'letters'] }],
  ])('%s', async (_, changes) => {
    const whole = await run(changes);
    expect(weightDifference(weightsOf(whole, 2), readWeights(project.model))).toBeGreaterThan(0.01);
    const parts = await run({ ...changes, per_device_train_batch_size: '2', gradient_accumulation_steps: '4' });
    expect(parts.completions.completion).toEqual(whole.completions.completion);
    expect(weightDifference(weightsOf(parts, 2), weightsOf(whole, 2))).toBeLessThan(1e-5);
    for (const name of ['cispo_clip_ratio', 'off_policy_masked_frac'].filter((each) => each in whole.logs[1]!)) {
      expect(whole.logs[1]![name], name).toBeGreaterThan(0);
    }
    const names = ['loss', 'reward', 'kl', 'cispo_clip_ratio', 'off_policy_masked_frac', 'entropy/threshold'];
    for (const [i, log] of parts.logs.entries()) {
      for (const name of names.filter((each) => each in whole.logs[i]!)) {
        expect(Math.abs(log[name]! - whole.logs[i]![name]!), name).toBeLessThan(1e-4);
      }
    }
  });
});

test('the KL is in the reward, not in the loss: it lowers the reward that is logged, and is the k1 of each completion', async () => {
  const { logs, completions } = await run({ kl_in_reward: 'true', beta: '0.5', max_steps: '3' });
  expect(Math.abs(logs[0]!.kl!)).toBeLessThan(1e-5);
  for (const [i, { kl, reward }] of logs.entries()) {
    const letters = (completions.letters as number[]).slice(8 * i, 8 * (i + 1));
    const mean = letters.reduce((sum, value) => sum + value, 0) / 8;
    expect(reward).toBeCloseTo(mean - 0.5 * kl!, 5);
  }
  expect(logs.slice(1).every(({ kl }) => Math.abs(kl!) > 1e-5)).toBe(true);
});

test('sampling and training forwards agree, and say by how much; rows of sampling are not compared with themselves', async () => {
  const name = 'sampling/sampling_logp_difference/max';
  const reused = await run({ max_steps: '1' });
  expect(reused.logs[0]).not.toHaveProperty([name]);
  for (const changes of [
    { reuse_rollout: 'false' },
    { per_device_train_batch_size: '2', gradient_accumulation_steps: '4' },
  ]) {
    const { logs } = await run(changes);
    expect(logs).toHaveLength(2);
    for (const log of logs) expect(log[name]).toBeLessThan(1e-4);
    expect(Math.max(...logs.map((log) => log[name]!))).toBeGreaterThan(0);
  }
  const twice = await run({ num_iterations: '2', reuse_rollout: 'false' });
  expect(twice.logs.map((log) => name in log)).toEqual([true, false]);
});

test('each loss type logs its own clipping', async () => {
  const keys = async (changes: FlagValues): Promise<string[]> =>
    Object.keys((await run({ max_steps: '1', ...changes })).logs[0]!).filter((name) => name.includes('clip_ratio'));
  expect(await keys({ loss_type: 'cispo', epsilon_high: '5' })).toEqual(['cispo_clip_ratio']);
  expect(await keys({ loss_type: 'sapo' })).toEqual([]);
});

test('completions that are all cut off leave nothing to learn with the overlong filter', async () => {
  const { logs } = await run({ overlong_filter: 'true', max_completion_length: '1', loss_type: 'dapo', beta: '0' });
  const cut = logs.filter((log) => log['completions/clipped_ratio'] === 1);
  expect(cut.length).toBeGreaterThan(0);
  for (const log of cut) expect([log.loss, log.grad_norm, log['clip_ratio/low_mean']]).toEqual([0, 0, undefined]);
});

describe('a correction of the rollout', () => {
  const MODES = ['token_truncate', 'token_mask', 'sequence_truncate', 'sequence_mask'];

  test('changes nothing where the rows of sampling are learned from', async () => {
    const plain = await run({ beta: '0.1' });
    for (const mode of MODES) {
      const made = await run({ beta: '0.1', rollout_importance_sampling_mode: mode });
      expect(made.stdout).toContain('--rollout_importance_sampling_mode weighs tokens by about 1');
      expect(weightDifference(weightsOf(made, 2), weightsOf(plain, 2)), mode).toBe(0);
      const { 'rollout_correction/kl': kl, 'rollout_correction/is_weight_mean': weight } = made.logs[0]!;
      expect([kl, weight, made.logs[0]!['rollout_correction/clipped_frac']]).toEqual([0, 1, 0]);
    }
    expect(Object.keys(plain.logs[0]!).filter((name) => name.startsWith('rollout_correction'))).toEqual([]);
  });

  test('weighs tokens where decoding rounds', async () => {
    const rounded = {
      ...{ tuner_type: 'lora', lora_rank: '4', quant_bits: '4', beta: '0.1', loss_type: 'dapo', lora_dropout: '0' },
      ...{ rollout_importance_sampling_threshold: '1.0001' },
    };
    const plain = await run(rounded);
    const adapterOf = ({ folder }: TinyRun): Buffer =>
      readFileSync(join(folder, 'checkpoint-2', 'adapter_model.safetensors'));
    for (const mode of MODES) {
      const made = await run({ ...rounded, rollout_importance_sampling_mode: mode });
      expect(made.completions.completion!.slice(0, 8)).toEqual(plain.completions.completion!.slice(0, 8));
      expect(made.stdout).not.toContain('weighs tokens by about 1');
      const first = made.logs[0]!;
      expect(first['rollout_correction/k3_kl']).toBeGreaterThan(0);
      expect(first['rollout_correction/clipped_frac']).toBeGreaterThan(0);
      expect(first.loss).not.toBe(plain.logs[0]!.loss);
      expect(adapterOf(made).equals(adapterOf(plain)), mode).toBe(false);
    }
  });
});
