/**
 * Attention in the log of every run: its numbers by hand, with and without an attention reward, and that measuring changes nothing.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { RolloutGroup } from '../../src/grpo/rollout.ts';
import { attentionMetrics } from '../../src/train/attention_metrics.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { type TinyProject, tinyProject, tinyRun } from '../helpers/tiny.ts';

const root = temporaryFolder();
let project: TinyProject;
beforeAll(async () => {
  project = await tinyProject(root, 6);
});

const PAD = 9;
const group = (ids: number[], masses: [number, number[]][]): RolloutGroup =>
  ({
    prompt: { ids: Int32Array.from(ids), systemPrefix: 1 },
    completions: [
      {
        ids: new Int32Array(masses[0]![1].length / 3),
        masses: new Map(masses.map(([layer, values]) => [layer, Float32Array.from(values)])),
      },
    ],
  }) as unknown as RolloutGroup;

test('numbers by hand: image, text and system shares, the rest, a layer, the ratio', () => {
  // one system column, two visual, one text; two layers, two tokens: visual, text, system each
  const groups = [
    group(
      [1, PAD, PAD, 2],
      [
        [3, [0.4, 0.2, 0.1, 0.2, 0.4, 0.1]],
        [4, [0.2, 0.2, 0.2, 0.2, 0.2, 0.2]],
      ],
    ),
    group([1, 2, 2], [[3, [0, 0.5, 0.1]]]), // no image: it does not count
  ];
  const metrics = attentionMetrics(groups, [PAD]);
  const near = (value: number) => expect.closeTo(value, 6);
  // shares of the prompt without its system block, per token: 2/3, 1/3, 1/2, 1/2; over two visual columns and one text column
  const [vis, text] = [(2 / 3 + 1 / 3 + 1 / 2 + 1 / 2) / 4 / 2, (1 / 3 + 2 / 3 + 1 / 2 + 1 / 2) / 4];
  expect(metrics).toEqual({
    'attention/tdr_mean': expect.closeTo(text / vis, 4),
    'attention/tdr_std': 0,
    'attention/image_mass': near(0.25),
    'attention/text_mass': near(0.25),
    'attention/system_mass': near(0.15),
    'attention/own_mass': near(0.35),
    'attention/image_mass/layer_03': near(0.3),
    'attention/image_mass/layer_04': near(0.2),
  });
});

describe('in runs', () => {
  const metricsIn = (logs: readonly Record<string, number>[]) =>
    logs.map((log) => Object.fromEntries(Object.entries(log).filter(([name]) => name.startsWith('attention/'))));

  test('without an attention reward the same as with one of weight 0, and no weight changes', async () => {
    const only = await tinyRun(project, 'letters', { reward_funcs: ['letters'], save_steps: '2' });
    const both = await tinyRun(project, 'both', { reward_weights: ['0', '1'], attn_probe: 'fused', save_steps: '2' });
    const none = await tinyRun(project, 'none', { reward_funcs: ['letters'], log_attention: 'false', save_steps: '2' });
    const names = Object.keys(metricsIn(only.logs)[0]!);
    expect(names).toEqual(
      expect.arrayContaining(['attention/tdr_mean', 'attention/own_mass', 'attention/image_mass/layer_01']),
    );
    for (const [i, log] of metricsIn(only.logs).entries()) expect(both.logs[i]).toMatchObject(log);
    expect(metricsIn(none.logs)).toEqual([{}, {}]);
    const weights = ({ folder }: { folder: string }) => readFileSync(join(folder, 'checkpoint-2', 'model.safetensors'));
    expect(weights(only).equals(weights(none))).toBe(true);
  });

  test('nothing for rows without an image', async () => {
    const texts = await tinyRun(project, 'texts', { reward_funcs: ['letters'], dataset: project.texts });
    expect(metricsIn(texts.logs)).toEqual([{}, {}]);
  });

  test('micro-batches, whose scores come from learning: sampling measures the same, and no weight changes', async () => {
    const flags = { reward_funcs: ['letters'], gradient_accumulation_steps: '2', save_steps: '2', attn_log_limit: '0' };
    const whole = await tinyRun(project, 'whole', {
      ...flags,
      per_device_train_batch_size: '8',
      gradient_accumulation_steps: '1',
    });
    const parts = await tinyRun(project, 'parts', { ...flags, per_device_train_batch_size: '4' });
    const silent = await tinyRun(project, 'silent', {
      ...flags,
      per_device_train_batch_size: '4',
      log_attention: 'false',
    });
    const [expected, got] = [metricsIn(whole.logs)[0]!, metricsIn(parts.logs)[0]!];
    expect(Object.keys(got)).toEqual(Object.keys(expected));
    for (const [name, value] of Object.entries(expected)) expect(got[name], name).toBeCloseTo(value, 5);
    expect(metricsIn(silent.logs)).toEqual([{}, {}]);
    const weights = ({ folder }: { folder: string }) => readFileSync(join(folder, 'checkpoint-2', 'model.safetensors'));
    expect(weights(parts).equals(weights(silent))).toBe(true);
  });
});
