/**
 * Whole runs that compare with a changed image: what they log, that the comparison itself changes nothing, that micro-batches and
 * a restart change nothing, and what a plugin of its own gets.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  type FlagValues,
  pictureRow,
  readWeights,
  type TinyProject,
  type TinyRun,
  tinyProject,
  tinyRun,
  weightDifference,
  writeRows,
} from '../helpers/tiny.ts';

const root = temporaryFolder();
let project: TinyProject;
let plugin: string;
let blackRows: string;
beforeAll(async () => {
  project = await tinyProject(root);
  plugin = join(root, 'sees.ts');
  writeFileSync(plugin, PLUGIN);
  await sharp({ create: { width: 84, height: 56, channels: 3, background: { r: 0, g: 0, b: 0 } } })
    .png()
    .toFile(join(root, 'black.png'));
  blackRows = join(root, 'black.jsonl');
  writeRows(
    blackRows,
    [0, 1, 2, 3, 4, 5].map((i) => pictureRow('black.png', `which colour is shape ${i}?`)),
  );
});

const PLUGIN = `import { orms, transformedImage } from 'sightline';
const BLACK = transformedImage({ kind: 'blackout', ratio: 1 });
const GONE = transformedImage({ kind: 'removed' });
class Sees {
  static needs = [BLACK, GONE];
  call(completions, { changed_images, log_extra }) {
    const drops = (need) => changed_images[need.name].map((pair) => pair && pair.logps.reduce((sum, logp, t) => sum + logp - pair.changed[t], 0));
    log_extra('black', drops(BLACK));
    log_extra('gone', drops(GONE));
    return completions.map(() => 0);
  }
}
class Halves {
  call(completions, { completion_ids, scale_advantages, weigh_tokens }) {
    scale_advantages(completions.map((_, i) => i % 2));
    weigh_tokens(completion_ids.map((ids) => Array.from(ids, (_, t) => t % 2)));
    return completions.map(() => 0);
  }
}
/** The same within the first group of a batch, so that dynamic sampling replaces it. */
class Pairs {
  call(completions) { return completions.map((text, i) => i < 4 ? 0 : text.length); }
}
class Wrong {
  call(completions, { weigh_tokens }) {
    weigh_tokens(completions.map(() => [-1]));
    return completions.map(() => 0);
  }
}
orms['sees'] = Sees;
orms['halves'] = Halves;
orms['pairs'] = Pairs;
orms['wrong'] = Wrong;
`;

/** A large epsilon makes AdamW's step proportional to the gradient, so that weights differ no more than gradients do. */
const SMOOTH: FlagValues = {
  ...{ adam_epsilon: '1', learning_rate: '0.5', max_grad_norm: '0', weight_decay: '0' },
  reward_funcs: 'letters',
};
let runs = 0;
const run = (changes: FlagValues): Promise<TinyRun> =>
  tinyRun(project, `${runs++}`, { ...SMOOTH, external_plugins: [project.letters, plugin], ...changes });
const weightsOf = ({ folder }: TinyRun): Map<string, Float32Array> => readWeights(join(folder, 'checkpoint-2'));
const PAPO: FlagValues = { perception_kl_coef: '0.05', perception_entropy_coef: '0.03' };
const VPPO: FlagValues = { perception_token_ratio: '0.4', perception_advantage_min: '0.5' };

describe('the comparison', () => {
  test.each<[string, FlagValues]>([
    ['rows of sampling', {}],
    ['a trained tower', { freeze_vit: 'false', freeze_aligner: 'false' }],
    ['a forward', { reuse_rollout: 'false' }],
    ['several updates', { num_iterations: '2' }],
  ])('changes no gradient: %s', async (_, changes) => {
    const without = await run(changes);
    const scored = await run({ ...changes, reward_funcs: ['letters', 'sees'], reward_weights: ['1', '0'] });
    expect(scored.completions.completion).toEqual(without.completions.completion);
    // Where log-probabilities come from may change what is computed first, by rounding.
    expect(weightDifference(weightsOf(scored), weightsOf(without))).toBeLessThan(1e-6);
    expect(weightDifference(weightsOf(without), readWeights(project.model))).toBeGreaterThan(0.01);
  });

  test('logs a column and metrics; a plugin gets what it asked for', async () => {
    const { logs, completions } = await run({ reward_funcs: ['letters', 'sees'] });
    const { length, black, visual_drop: drops, visual_kl: kls } = completions as Record<string, number[]>;
    expect(drops).toHaveLength(length!.length);
    for (const [i, drop] of drops!.entries()) expect(drop * length![i]!).toBeCloseTo(black![i]!, 5);
    expect(Math.max(...kls!)).toBeGreaterThan(1e-4);
    expect(Math.min(...kls!)).toBeGreaterThanOrEqual(0);
    expect(logs[0]!['perception/visual_kl_mean']).toBeGreaterThan(0);
    expect((completions as Record<string, number[]>).gone!.every((drop) => Math.abs(drop) > 1e-4)).toBe(true);
  });

  test('blacking out everything gives the log-probabilities of a black picture', async () => {
    const { completions } = await run({ reward_funcs: ['letters', 'sees'], dataset: blackRows });
    const { black, gone } = completions as Record<string, number[]>;
    // The picture is black already: the same pixels in another packing of the same rows.
    for (const drop of black!) expect(Math.abs(drop)).toBeLessThan(1e-4);
    expect(gone!.some((drop) => Math.abs(drop) > 1e-2)).toBe(true);
  });

  test('rows without an image have no value and learn as before', async () => {
    const without = await run({ dataset: project.texts });
    const { completions, logs, folder } = await run({ dataset: project.texts, ...PAPO, ...VPPO });
    expect((completions as Record<string, unknown[]>).visual_kl!.every((kl) => kl === null)).toBe(true);
    expect(logs[0]).not.toHaveProperty('perception/kl');
    expect(weightDifference(readWeights(join(folder, 'checkpoint-2')), weightsOf(without))).toBeLessThan(1e-6);
  });
});

describe('learning', () => {
  test.each<[string, FlagValues]>([
    ['PAPO', PAPO],
    ['PAPO, blur', { ...PAPO, perception_image: 'blur', perception_kl_tokens: '0.5', perception_kl_max: '0.2' }],
    ['VPPO', { ...VPPO, loss_type: 'dapo' }],
    ['VPPO without the image, several updates', { ...VPPO, perception_image: 'removed', num_iterations: '2' }],
    ['VPPO and a plugin, dynamic sampling', { ...VPPO, reward_funcs: ['pairs', 'halves'], dynamic_sample: 'true' }],
    ['a plugin that scales advantages and weighs tokens', { reward_funcs: ['letters', 'halves'] }],
  ])('%s changes it, and micro-batches do not', async (_, changes) => {
    const plain = await run({ num_iterations: changes.num_iterations, loss_type: changes.loss_type });
    const whole = await run(changes);
    if (changes.dynamic_sample) expect(whole.logs[0]!.num_gen_batches).toBeGreaterThan(1);
    expect(weightDifference(weightsOf(whole), weightsOf(plain))).toBeGreaterThan(1e-3);
    const parts = await run({ ...changes, per_device_train_batch_size: '2', gradient_accumulation_steps: '4' });
    expect(parts.completions.completion).toEqual(whole.completions.completion);
    expect(weightDifference(weightsOf(parts), weightsOf(whole))).toBeLessThan(1e-5);
    for (const [i, log] of parts.logs.entries()) {
      for (const name of ['loss', 'perception/kl', 'perception/visual_kl_mean']) {
        if (name in whole.logs[i]!) expect(Math.abs(log[name]! - whole.logs[i]![name]!), name).toBeLessThan(1e-4);
      }
    }
  });

  test('advantages that a plugin scales by 0 are 0', async () => {
    const { completions } = await run({ reward_funcs: ['letters', 'halves'] });
    const { advantages } = completions as unknown as Record<string, number[]>;
    expect(advantages!.every((advantage, i) => i % 2 === 1 || advantage === 0)).toBe(true);
    expect(advantages!.some((advantage) => advantage !== 0)).toBe(true);
  });

  test('a wrong weight is named', async () => {
    await expect(run({ reward_funcs: ['letters', 'wrong'] })).rejects.toThrow(/wrong.*weigh_tokens.*sample 0/);
  });
});
