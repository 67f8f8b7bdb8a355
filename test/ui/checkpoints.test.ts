/**
 * The checkpoints of a run: which ones there are, what their evaluation was, and which one is the best and the last.
 */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runPage } from '../../src/run_page/page.ts';
import type { Checkpoints, RunSummary } from '../../src/ui/api.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { logRecord, writeRun } from './made_runs.ts';
import { serve } from './served.ts';

const folder = temporaryFolder();

function makeCheckpoint(run: string, step: number, state: unknown): void {
  mkdirSync(join(run, `checkpoint-${step}`));
  writeFileSync(join(run, `checkpoint-${step}`, 'trainer_state.json'), JSON.stringify(state));
}

async function checkpointsOf(
  root: string,
): Promise<{ run: RunSummary; found: Checkpoints; text: () => Promise<Checkpoints> }> {
  const served = await serve([root]);
  const { runs } = await served.json<{ runs: RunSummary[] }>('/api/runs');
  const text = () => served.json<Checkpoints>(`/api/runs/${runs[0]!.id}/checkpoints`);
  return { run: runs[0]!, found: await text(), text };
}

const rowsOf = ({ checkpoints }: Checkpoints) =>
  checkpoints.map(({ name, step, value, isBest, isLast }) => [name, step, value, isBest, isLast]);

test('of a run that goes on are read from its folder, the best one from the newest of them', async () => {
  const root = join(folder, 'live');
  const run = join(root, 'v0');
  writeRun(run, {
    log: [5, 10, 15, 100].flatMap((step, i) => [
      logRecord(step, 200, { reward: 1 }),
      ...(step === 15 ? [] : [logRecord(step, 200, { eval_reward: 0.5 + i / 10, eval_loss: 9 })]),
    ]),
    args: { model: 'm', _sightline: {} },
  });
  for (const step of [5, 10, 15]) makeCheckpoint(run, step, { best_model_checkpoint: `/elsewhere/checkpoint-5` });
  makeCheckpoint(run, 100, { best_model_checkpoint: `/moved/v0/checkpoint-10` });
  mkdirSync(join(folder, 'outside'));
  symlinkSync(join(folder, 'outside'), join(run, 'checkpoint-900'));
  writeFileSync(join(run, 'checkpoint-901'), 'no folder');
  mkdirSync(join(run, 'checkpoint-old'));
  const { found, text } = await checkpointsOf(root);
  expect(found.metric).toBe('eval_reward');
  expect(rowsOf(found)).toEqual([
    ['checkpoint-100', 100, 0.8, false, true],
    ['checkpoint-15', 15, null, false, false],
    ['checkpoint-10', 10, 0.6, true, false],
    ['checkpoint-5', 5, 0.5, false, false],
  ]);
  expect(found.checkpoints.every(({ savedAt }) => savedAt > 0)).toBe(true);

  const page = await runPage(run, { images: false });
  expect(page).toContain('<dt>best checkpoint</dt><dd>checkpoint-10 (0.6)</dd>');
  expect(page).toContain('<dt>last checkpoint</dt><dd>checkpoint-100</dd>');
  expect(page).toMatch(/<th scope="row">checkpoint-10<\/th><td>[^<]*0\.6[^<]*<\/td><td>best<\/td>/);

  // A half-written file says nothing, and is no reason to fail.
  writeFileSync(join(run, 'checkpoint-100', 'trainer_state.json'), '{"best_model');
  expect((await text()).checkpoints.filter(({ isBest }) => isBest)).toEqual([]);
  rmSync(run, { recursive: true });
  expect(await text()).toMatchObject({ checkpoints: [] });
});

test('of a run that has ended are marked by its last record', async () => {
  const root = join(folder, 'ended');
  writeRun(join(root, 'v0'), {
    log: [
      logRecord(4, 8, { eval_loss: 0.25 }),
      { last_model_checkpoint: '/a/checkpoint-8', best_model_checkpoint: '/a/checkpoint-4', best_metric: 0.25 },
    ],
  });
  for (const step of [4, 8]) makeCheckpoint(join(root, 'v0'), step, { best_model_checkpoint: '/a/checkpoint-8' });
  const { found } = await checkpointsOf(root);
  expect(found.metric).toBe('eval_loss');
  expect(rowsOf(found)).toEqual([
    ['checkpoint-8', 8, null, false, true],
    ['checkpoint-4', 4, 0.25, true, false],
  ]);
});

test('of ms-swift are compared by the metric that it was told', async () => {
  const root = join(folder, 'swift');
  writeRun(join(root, 'v0'), {
    log: [logRecord(2, 4, { eval_reward: 1, 'eval_rewards/Format/mean': 0.5 })],
    args: { model: 'm', metric_for_best_model: 'rewards/Format/mean' },
  });
  makeCheckpoint(join(root, 'v0'), 2, {});
  const { found } = await checkpointsOf(root);
  expect([found.metric, found.checkpoints[0]!.value]).toEqual(['eval_rewards/Format/mean', 0.5]);
});

test('without any, the list is empty and no evaluation is named', async () => {
  const root = join(folder, 'none');
  writeRun(join(root, 'v0'), { log: [logRecord(1, 2, { reward: 1 })] });
  expect((await checkpointsOf(root)).found).toEqual({ metric: null, checkpoints: [] });
});
