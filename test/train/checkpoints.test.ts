/**
 * Which checkpoints a run keeps, what is in them, and that none is ever half there.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { besideFolder } from '../../src/checkpoint/atomic_folder.ts';
import { type Checkpoint, openCheckpoint } from '../../src/checkpoint/open.ts';
import { openSafetensors } from '../../src/checkpoint/safetensors.ts';
import { saveCheckpoint } from '../../src/checkpoint/save.ts';
import { loadParameters, type Parameters } from '../../src/engine/parameters.ts';
import { here } from '../../src/runtime/device.ts';
import { type CheckpointsOptions, createCheckpoints, type ProgressToSave } from '../../src/train/checkpoints.ts';
import { type LoopState, readLoopState } from '../../src/train/resume/loop_state.ts';
import { createUpdater, type Updater } from '../../src/train/update.ts';
import { matricesDecay } from '../../src/train/update_options.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { readWeights, tinyProject } from '../helpers/tiny.ts';

const root = temporaryFolder();
let source: Checkpoint;
let parameters: Parameters;
let updater: Updater;
beforeAll(async () => {
  source = openCheckpoint((await tinyProject(root, 1)).model);
  parameters = await loadParameters(source, (name) => name === 'model.norm.weight');
  updater = await createUpdater(parameters, {
    beta1: 0.9,
    beta2: 0.95,
    epsilon: 1e-8,
    weightDecay: 0,
    decays: matricesDecay,
    maxGradNorm: 1,
    schedule: () => 0.1,
  });
});
afterAll(async () => {
  source.close();
  await updater.release();
});

async function checkpointsIn(name: string, changes: Partial<CheckpointsOptions> = {}) {
  const outputDir = join(root, name);
  await mkdir(outputDir);
  const told: string[] = [];
  const checkpoints = createCheckpoints({
    outputDir,
    source,
    parameters,
    updater,
    prompts: { minPixels: null, maxPixels: null, system: null },
    totalLimit: null,
    onlyModel: true,
    greaterIsBetter: false,
    emit: async (event) => void told.push(event.type === 'checkpoint' ? event.dir : event.text),
    ...changes,
  });
  return { outputDir, told, ...checkpoints };
}

const LOOP: LoopState = {
  command: 'rlhf',
  inputs: { dataset: { rows: 3, sha256: 'd' }, valDataset: null, model: 'm', refAdapters: null },
  sampler: { length: 3, seed: 42, shuffle: true, epoch: 1, position: 2 },
  averages: { loss: { sum: Number.NaN, count: 2 } },
  journal: { firstLog: null, lastLog: { loss: -0 }, evalBefore: null, lastEvaluation: null, seconds: { rollout: 1.5 } },
  steps: [Float32Array.of(0.1, Number.NEGATIVE_INFINITY)],
};

const progress = (step: number, changes: Partial<ProgressToSave> = {}): ProgressToSave => ({
  step,
  maxSteps: 9,
  epoch: step / 3,
  metric: null,
  logHistory: [{ loss: 1, step }],
  loop: LOOP,
  ...changes,
});

describe('checkpoints', () => {
  test('hold the trained weights as they are and the rest as it was', async () => {
    const { outputDir, save } = await checkpointsIn('weights');
    here(parameters.value('model.norm.weight')).data[3] = 42;
    await save(progress(1));
    const saved = readWeights(join(outputDir, 'checkpoint-1'));
    expect(saved.get('model.norm.weight')![3]).toBe(42);
    for (const name of source.tensors.keys()) {
      if (name !== 'model.norm.weight') expect(saved.get(name), name).toEqual(source.read(name));
    }
  });

  test('hold optimizer and loop state, and full precision where the weights are rounded', async () => {
    await saveCheckpoint(join(root, 'rounded'), { source, dtype: 'bfloat16' });
    const rounded = openCheckpoint(join(root, 'rounded'));
    const { outputDir, save } = await checkpointsIn('state', { onlyModel: false, source: rounded });
    writeFileSync(join(outputDir, 'args.json'), '{"seed": 1}\n');
    here(parameters.value('model.norm.weight')).data[0] = 1.0001;
    await save(progress(2));
    const dir = join(outputDir, 'checkpoint-2');
    expect(readWeights(dir).get('model.norm.weight')![0]).toBe(1);
    const file = openSafetensors(join(dir, 'optimizer.safetensors'));
    expect([...file.entries.keys()].sort()).toEqual(['m', 'v', 'value'].map((kind) => `${kind}.model.norm.weight`));
    expect(file.read('value.model.norm.weight')[0]).toBe(Math.fround(1.0001));
    file.close();
    rounded.close();
    expect(readFileSync(join(dir, 'args.json'), 'utf8')).toBe('{"seed": 1}\n');
    expect(readLoopState(dir, 'rlhf')).toEqual(LOOP);
  });

  test('leave the optimizer out where only the model is wanted', async () => {
    const { outputDir, save } = await checkpointsIn('model only');
    await save(progress(1));
    const files = readdirSync(join(outputDir, 'checkpoint-1'));
    expect(files).toContain('trainer_state.json');
    expect(files).not.toContain('optimizer.safetensors');
    expect(files).not.toContain('loop_state.json');
  });

  test.each([
    ['the last two', 2, [null, null, null, null], ['checkpoint-3', 'checkpoint-4']],
    ['the best and the last', 2, [3, 1, 2, 2.5], ['checkpoint-2', 'checkpoint-4']],
    ['both even under a limit of one', 1, [1, 2, 3, 4], ['checkpoint-1', 'checkpoint-4']],
    ['all without a limit', null, [null, null, null, null], [1, 2, 3, 4].map((n) => `checkpoint-${n}`)],
  ])('keep %s', async (name, totalLimit, metrics, expected) => {
    const { outputDir, save, told } = await checkpointsIn(`limit ${name}`, { totalLimit });
    for (const [i, metric] of metrics.entries()) await save(progress(i + 1, { metric }));
    expect(readdirSync(outputDir).sort()).toEqual(expected);
    expect(told).toHaveLength(4);
  });

  test('know the best by the way the metric points', async () => {
    const { outputDir, save, summary } = await checkpointsIn('reward', { greaterIsBetter: true });
    for (const [i, metric] of [1, 3, 2].entries()) await save(progress(i + 1, { metric }));
    expect(summary()).toEqual({
      lastCheckpoint: join(outputDir, 'checkpoint-3'),
      bestCheckpoint: join(outputDir, 'checkpoint-2'),
      bestMetric: 3,
    });
    const state = JSON.parse(readFileSync(join(outputDir, 'checkpoint-3', 'trainer_state.json'), 'utf8'));
    expect(state).toMatchObject({ best_global_step: 2, best_metric: 3, global_step: 3, log_history: [{ step: 3 }] });
  });

  test('that fail leave nothing, and those before them stay', async () => {
    const { outputDir, save, summary, told } = await checkpointsIn('failing', { totalLimit: 1 });
    await save(progress(1));
    const norm = here(parameters.value('model.norm.weight')).data;
    norm[0] = Number.NaN;
    await expect(save(progress(2))).rejects.toMatchObject({ code: 'E_WEIGHT_NOT_FINITE' });
    norm[0] = 1;
    expect(readdirSync(outputDir)).toEqual(['checkpoint-1']);
    expect(existsSync(join(outputDir, 'checkpoint-1', 'model.safetensors'))).toBe(true);
    expect(summary().lastCheckpoint).toBe(join(outputDir, 'checkpoint-1'));
    expect(told).toHaveLength(1);
  });

  test('of which an old one cannot be removed are told, and tried again', async () => {
    const { outputDir, save, told } = await checkpointsIn('not removable', { totalLimit: 1 });
    await save(progress(1));
    const hidden = besideFolder(join(outputDir, 'checkpoint-1'), 'removed');
    writeFileSync(hidden, 'in the way');
    await save(progress(2));
    expect(told.at(-1)).toMatch(/^an old checkpoint could not be removed: ENOTDIR/);
    rmSync(hidden);
    await save(progress(3));
    expect(readdirSync(outputDir)).toEqual(['checkpoint-3']);
  });

  test('are not written twice for one step', async () => {
    const { save, told } = await checkpointsIn('twice');
    await save(progress(5));
    await save(progress(5));
    expect(told).toHaveLength(1);
  });
});
