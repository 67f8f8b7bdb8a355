/**
 * Evaluation within runs of a tiny checkpoint: every row once, the same numbers however they are batched, faults told.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  type FlagValues,
  pictureRow,
  readLines,
  type TinyProject,
  type TinyRun,
  tinyProject,
  tinyRun,
  writeRows,
} from '../helpers/tiny.ts';

const root = temporaryFolder();
let project: TinyProject;
let held: string;
beforeAll(async () => {
  project = await tinyProject(root);
  held = join(root, 'held.jsonl');
  writeRows(
    held,
    Array.from({ length: 5 }, (_, i) => pictureRow(`${i}.png`, `what is in picture ${i}?`)),
  );
});

let runs = 0;
function evaluated(changes: FlagValues = {}): Promise<TinyRun> {
  return tinyRun(project, `${runs++}`, {
    val_dataset: held,
    eval_strategy: 'steps',
    eval_steps: '1',
    eval_temperature: '0',
    num_generations_eval: '1',
    ...changes,
  });
}

const evaluationsOf = ({ folder }: TinyRun): Record<string, number>[] =>
  readLines<Record<string, number>>(join(folder, 'logging.jsonl')).filter((record) => 'eval_reward' in record);

test('rows without an image in some batches', async () => {
  const mixed = join(root, 'mixed.jsonl');
  writeRows(mixed, [
    pictureRow('0.png', 'a?'),
    { messages: [{ role: 'user', content: 'b?' }] },
    pictureRow('1.png', 'c?'),
  ]);
  const [record] = evaluationsOf(
    await evaluated({ val_dataset: mixed, per_device_eval_batch_size: '2', max_steps: '1' }),
  );
  expect(record!['eval_attention/undefined_frac']).toBeCloseTo(1 / 3, 7);
  expect(record!['eval_rewards/DDAPOAttentionORM/null_frac']).toBeCloseTo(1 / 3, 7);
  expect(record!['eval_rewards/DDAPOAttentionORM/mean']).toBeCloseTo(-record!['eval_attention/tdr_mean']!, 7);
});

test.each(['eager', 'fused', 'auto'])('does not depend on the batch size, attn_probe %s', async (attn_probe) => {
  const flags = { attn_probe, beta: '0.1', perception_kl_coef: '0.01', perception_image: 'removed' };
  const all = await evaluated({ ...flags, per_device_eval_batch_size: '8' });
  const one = await evaluated({ ...flags, per_device_eval_batch_size: '1' });
  const two = await evaluated({ ...flags, per_device_eval_batch_size: '2' });
  for (const other of [one, two]) {
    for (const [i, record] of evaluationsOf(all).entries()) {
      for (const [name, value] of Object.entries(record)) {
        if (!name.startsWith('eval_')) continue;
        expect(Math.abs(value - evaluationsOf(other)[i]![name]!), name).toBeLessThan(1e-5);
      }
    }
  }
});

test('several completions a prompt: greedy ones do not differ, sampled ones do', async () => {
  const [greedy] = evaluationsOf(await evaluated({ num_generations_eval: '3', max_steps: '1' }));
  expect(greedy!.eval_reward_std).toBe(0);
  expect(greedy!.eval_frac_reward_zero_std).toBe(1);
  const [sampled] = evaluationsOf(
    await evaluated({ num_generations_eval: '3', eval_temperature: '1', max_steps: '1' }),
  );
  expect(sampled!.eval_reward_std).toBeGreaterThan(0);
});

test('the KL to the reference and the dependence on the image: as training logs them', async () => {
  const flags = { beta: '0.1', perception_kl_coef: '0.01', eval_on_start: 'true', temperature: '0.7' };
  const [before, after] = evaluationsOf(await evaluated(flags));
  expect(Math.abs(before!.eval_kl!)).toBeLessThan(1e-9); // the policy is its reference
  expect(after!.eval_kl).toBeGreaterThan(1e-5);
  for (const name of ['kl', 'drop']) expect(after![`eval_perception/visual_${name}_mean`]).toBeGreaterThan(0);
  const [without] = evaluationsOf(await evaluated());
  expect(Object.keys(without!).filter((name) => /kl|visual/.test(name))).toEqual([]);
});

test('before the first step it sees the same completions as after steps that change nothing', async () => {
  // With `auto`, the first call of the attention reward reads eager weights, which round otherwise.
  const flags = { eval_on_start: 'true', learning_rate: '0', eval_temperature: '1', attn_probe: 'fused' };
  const records = evaluationsOf(await evaluated(flags));
  expect(records).toHaveLength(3);
  for (const record of records) expect(record.eval_reward).toBe(records[0]!.eval_reward);
});

test('a part of the training rows can be set aside', async () => {
  const run = await evaluated({ val_dataset: undefined, split_dataset_ratio: '0.34' });
  expect(run.stdout).toContain('data     4 rows, 2 for evaluation');
  expect(evaluationsOf(run)).toHaveLength(2);
});

test('rows that are too long: left out if wanted, but not all of them', async () => {
  const long = pictureRow('0.png', 'long '.repeat(1000));
  const some = join(root, 'some.jsonl');
  writeRows(some, [long, pictureRow('1.png', 'short?')]);
  const flags = { val_dataset: some, truncation_strategy: 'delete', per_device_eval_batch_size: '1' };
  expect(evaluationsOf(await evaluated(flags))).toHaveLength(2);
  const all = join(root, 'all.jsonl');
  writeRows(all, [long, long]);
  await expect(evaluated({ ...flags, val_dataset: all, eval_on_start: 'true' })).rejects.toMatchObject({
    code: 'E_DATASET_EMPTY',
    message: 'all 2 rows are longer than the limit',
  });
  expect(existsSync(join(root, 'runs', `${runs - 1}`))).toBe(false);
});

test('rows whose pictures turn out damaged are left out and told with --strict false, and end a strict run', async () => {
  const picture = readFileSync(join(root, '0.png'));
  writeFileSync(join(root, 'half.png'), picture.subarray(0, picture.length / 2));
  const damaged = join(root, 'damaged.jsonl');
  writeRows(damaged, [pictureRow('1.png', 'a?'), pictureRow('half.png', 'b?'), pictureRow('missing.png', 'c?')]);
  const changes = { dataset: damaged, val_dataset: damaged, per_device_train_batch_size: '4', max_steps: '3' };
  const tolerant = await evaluated({ ...changes, strict: 'false' });
  expect(tolerant.logs).toHaveLength(3);
  expect(evaluationsOf(tolerant)).toHaveLength(3);
  expect(tolerant.completions.prompt!.every((prompt) => String(prompt).includes('a?'))).toBe(true);
  const told = tolerant.stdout.split('\n').filter((line) => line.includes('left out /'));
  expect(told).toHaveLength(3); // the missing one of both datasets, the damaged one once
  expect(told.filter((line) => line.includes(`left out ${damaged}:3: image not found`))).toHaveLength(2);
  expect(told[2]).toMatch(`left out ${damaged}:2: image is damaged: ${join(root, 'half.png')}`);
  const strict = evaluated({ ...changes, dataset: `${damaged}#2`, val_dataset: undefined, eval_strategy: undefined });
  await expect(strict).rejects.toMatchObject({ code: 'E_IMAGE_CORRUPT', where: `${damaged}:2` });
});

test('completions longer than the model has positions are refused before the first step', async () => {
  const run = tinyRun(project, 'endless', { max_completion_length: '1000000000' });
  await expect(run).rejects.toMatchObject({
    code: 'E_COMPLETION_LENGTH',
    where: '--max_completion_length',
    exitCode: 2,
  });
});

test('a prompt that is too long names the flags that help', async () => {
  const run = tinyRun(project, 'too long', { max_length: '20' });
  await expect(run).rejects.toMatchObject({
    code: 'E_PROMPT_TOO_LONG',
    hint: 'raise --max_length, lower --max_pixels, or set --truncation_strategy delete to leave such rows out',
  });
});
