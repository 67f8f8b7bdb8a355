/**
 * What is read of the files of runs: growing, cut, replaced and hostile ones, of sightline and of ms-swift.
 */
import { appendFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Curve, Group, RowList, RunSummary } from '../../src/ui/api.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { completionsLine, jsonLines, logRecord, writeRun } from './made_runs.ts';
import { type Served, serve } from './served.ts';

const folder = temporaryFolder();

async function only(served: Served): Promise<RunSummary> {
  await served.ui.library.refresh();
  const { runs } = await served.json<{ runs: RunSummary[] }>('/api/runs');
  expect(runs).toHaveLength(1);
  return runs[0]!;
}

async function curve(served: Served, run: string, metric: string): Promise<Curve> {
  const { curves } = await served.json<{ curves: Curve[] }>(`/api/curves?run=${run}&metric=${metric}`);
  return curves[0]!;
}

describe('a run that grows', () => {
  test('shows each new record, a half-written line only once it is complete', async () => {
    const root = join(folder, 'grows');
    const log = join(root, 'v0', 'logging.jsonl');
    writeRun(join(root, 'v0'), { log: [logRecord(1, 3, { reward: 1 })] });
    const served = await serve([root]);
    const record = JSON.stringify(logRecord(2, 3, { reward: 'NaN', kl: 0.5 }));
    appendFileSync(log, record.slice(0, 20));
    expect(await only(served)).toMatchObject({ step: 1, maxSteps: 3, state: 'live', kind: 'unknown' });
    appendFileSync(log, `${record.slice(20)}\n`);
    const run = await only(served);
    expect(run).toMatchObject({ step: 2, metrics: ['reward', 'epoch', 'kl'], faults: [] });
    expect(await curve(served, run.id, 'reward')).toMatchObject({ steps: [1, 2], values: [1, null] });
    appendFileSync(log, jsonLines([{ last_model_checkpoint: 'c-2', best_metric: 1.5, seconds: { rollout: 2 } }]));
    expect(await only(served)).toMatchObject({
      state: 'finished',
      end: { status: null, lastCheckpoint: 'c-2', bestCheckpoint: null, bestMetric: 1.5, seconds: { rollout: 2 } },
    });
    // Resumed: step 2 is logged again.
    appendFileSync(log, jsonLines([logRecord(2, 3, { reward: 7 }), logRecord(3, 3, { reward: 8 })]));
    expect((await only(served)).end).toBeNull();
    expect(await curve(served, run.id, 'reward')).toMatchObject({ steps: [1, 2, 3], values: [1, 7, 8] });
  });

  test('appears while the page is open, and stays readable when its folder goes', async () => {
    const root = join(folder, 'comes');
    mkdirSync(root);
    const served = await serve([root]);
    expect(await served.json('/api/runs')).toEqual({ runs: [] });
    writeRun(join(root, 'a', 'v0'), {
      log: [logRecord(1, 1, { reward: 1 })],
      completions: [completionsLine(1, [{ completion: 'x', reward: 1 }])],
    });
    const run = await only(served);
    expect(run.name).toBe(join('a', 'v0'));
    rmSync(join(root, 'a'), { recursive: true });
    expect(await only(served)).toMatchObject({ id: run.id, state: 'gone', completions: 1 });
    expect((await served.get(`/api/runs/${run.id}/groups/0`)).status).toBe(404);
    expect((await served.json<RowList>(`/api/runs/${run.id}/list`)).total).toBe(1);
  });

  test('is read anew if its file is replaced or cut', async () => {
    const root = join(folder, 'rotates');
    const texts = join(root, 'v0', 'completions.jsonl');
    const lines = [1, 2, 3].map((step) => completionsLine(step, [{ completion: `at ${step}`, reward: step }]));
    writeRun(join(root, 'v0'), { completions: lines });
    const served = await serve([root]);
    expect((await only(served)).completions).toBe(3);
    writeFileSync(texts, jsonLines(lines.slice(0, 1)));
    expect((await only(served)).completions).toBe(1);
    writeFileSync(join(root, 'new'), jsonLines([completionsLine(9, [{ completion: 'another file', reward: 0 }])]));
    renameSync(join(root, 'new'), texts);
    const run = await only(served);
    expect(run.completions).toBe(1);
    const group = await served.json<Group>(`/api/runs/${run.id}/groups/0`);
    expect([group.step, group.completions[0]!.text]).toEqual([9, 'another file']);
  });
});

test('lines that are no records are left out and named', async () => {
  const root = join(folder, 'hostile');
  mkdirSync(join(root, 'v0'), { recursive: true });
  writeFileSync(
    join(root, 'v0', 'logging.jsonl'),
    `not json\n[1]\n{"a":1}\n\n${jsonLines([logRecord(1, 2, { __proto__x: 1, reward: 2 })])}`,
  );
  const odd = completionsLine(1, [{ completion: 'kept', reward: 1 }]);
  writeFileSync(
    join(root, 'v0', 'completions.jsonl'),
    `{"prompt":["a"],"completion":[1]}\n{"prompt":["a","b"],"completion":["c"]}\nnull\n{"__proto__":{"prompt":[]}}\n${jsonLines([{ ...odd, short: [1, 2], constructor: [3] }])}`,
  );
  const served = await serve([root]);
  const run = await only(served);
  expect(run.faults).toEqual([
    'line 1 of logging.jsonl is not JSON',
    'line 2 of logging.jsonl is not an object',
    'line 3 of logging.jsonl has no global_step/max_steps',
    ...[1, 2, 3, 4].map((line) => `line ${line} of completions.jsonl is not a table of prompts and completions`),
  ]);
  expect(run.completions).toBe(1);
  expect(run.columns.map(({ name }) => name)).toEqual(['accuracy', 'advantages', 'length', 'constructor']);
  expect(({} as { prompt?: unknown }).prompt).toBeUndefined();
});

test('a run of ms-swift is read with its own columns, and says what it does not log', async () => {
  const root = join(folder, 'swift');
  const prompt =
    '<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>How many?<|im_end|>\n<|im_start|>assistant\n';
  writeRun(join(root, 'v0-20260101-000000'), {
    log: [
      { loss: 0.1, reward: 0.5, epoch: 0.1, 'global_step/max_steps': '1/10', percentage: '10%', elapsed_time: '3s' },
    ],
    completions: [
      {
        step: ['1', '1'],
        prompt: [prompt, prompt],
        completion: ['<answer>3</answer>', 'four'],
        MultiModalAccuracyORM: [1, 0],
        advantages: [0.7, -0.7],
        gen_step: [0, 0],
      },
    ],
    args: { model: 'Qwen/Qwen2.5-VL-3B-Instruct', rlhf_type: 'grpo' },
  });
  const served = await serve([root]);
  const run = await only(served);
  expect(run).toMatchObject({ kind: 'ms-swift', model: 'Qwen/Qwen2.5-VL-3B-Instruct', groups: 1, completions: 2 });
  const group = await served.json<Group>(`/api/runs/${run.id}/groups/0`);
  expect(group).toMatchObject({
    question: 'How many?',
    solution: null,
    source: null,
    images: [{ reason: 'The log of this run does not name its images.' }],
    completions: [
      { answer: '3', clipped: null, values: [1, 0.7, 0] },
      { answer: 'four', clipped: null, values: [0, -0.7, 0] },
    ],
  });
});

describe('lists', async () => {
  const root = join(folder, 'lists');
  const two = (index: number, rows: readonly (readonly [string, number | null, boolean])[]) =>
    rows.map(([completion, reward, truncated]) => ({
      completion,
      reward,
      truncated,
      index,
      prompt: `Question ${index}`,
    }));
  writeRun(join(root, 'v0'), {
    completions: [
      completionsLine(1, [
        ...two(0, [
          ['red', 1, false],
          ['blue', 0, false],
        ]),
        ...two(1, [
          ['long', 0, true],
          ['LONGER', 0, false],
        ]),
      ]),
      completionsLine(2, [
        ...two(0, [
          ['red', 1, false],
          ['green', null, false],
        ]),
      ]),
    ],
  });
  const served = await serve([root]);
  const run = await only(served);
  const list = (query: string) => served.json<RowList>(`/api/runs/${run.id}/list?${query}`);
  const ids = async (query: string) => (await list(query)).rows.map(({ id }) => id);

  test('groups are the rows of one prompt in one step', async () => {
    const { rows, total } = await list('');
    expect(total).toBe(3);
    expect(rows.map(({ step, prompt, size, values }) => [step, prompt, size, values[0]])).toEqual([
      [1, 'Question 0', 2, 0.5],
      [1, 'Question 1', 2, 0],
      [2, 'Question 0', 2, 1],
    ]);
    expect(rows.map(({ marks }) => marks)).toEqual([
      { clipped: 0, unjudged: 0, flat: 0 },
      { clipped: 1, unjudged: 0, flat: 1 },
      { clipped: 0, unjudged: 1, flat: 0 },
    ]);
  });

  test('sort by a column, with nulls last in both directions', async () => {
    expect(await ids('unit=completion&sort=accuracy')).toEqual([1, 2, 3, 0, 4, 5]);
    expect(await ids('unit=completion&sort=accuracy&descending=true')).toEqual([0, 4, 1, 2, 3, 5]);
    expect(await ids('sort=accuracy&descending=true')).toEqual([2, 0, 1]);
    expect(await ids('sort=step&descending=true')).toEqual([2, 1, 0]);
  });

  test('filter by marks, steps and words, in any case', async () => {
    expect(await ids('filter=clipped')).toEqual([1]);
    expect(await ids('filter=unjudged&unit=completion')).toEqual([5]);
    expect(await ids('filter=flat')).toEqual([1]);
    expect(await ids('filter=mixed')).toEqual([0, 2]);
    expect(await ids('fromStep=2')).toEqual([2]);
    expect(await ids('toStep=1')).toEqual([0, 1]);
    expect(await ids('unit=completion&search=longer')).toEqual([3]);
    expect(await ids('unit=completion&search=RED')).toEqual([0, 4]);
    expect(await ids('search=question%201')).toEqual([1]);
    expect(await ids('search=%3Cscript%3E')).toEqual([]);
  });

  test('come in windows', async () => {
    const { total, all, offset, rows } = await list('unit=completion&offset=4&limit=1&filter=mixed');
    expect([total, all, offset, rows.map(({ id }) => id)]).toEqual([4, 6, 4, []]);
    expect((await list('unit=completion&offset=2&limit=1&filter=mixed')).rows.map(({ id }) => id)).toEqual([4]);
  });

  test('a group knows the other steps of its prompt', async () => {
    const group = await served.json<Group>(`/api/runs/${run.id}/groups/2`);
    expect(group.history).toEqual([
      { id: 0, step: 1, reward: 0.5 },
      { id: 2, step: 2, reward: 1 },
    ]);
  });

  test.each(['limit=0', 'limit=501', 'offset=-1', 'filter=any', 'unit=x', 'descending=1', 'fromStep=1.5'])(
    'a query that is wrong is answered with the reason: %s',
    async (query) => {
      const { status, body } = await served.get(`/api/runs/${run.id}/list?${query}`);
      expect(status).toBe(400);
      expect(body.toString()).toMatch(new RegExp(`^${query.split('=')[0]}: `));
    },
  );
});

test('CSV has every value, and names that no program takes for a formula', async () => {
  const root = join(folder, 'csv');
  writeRun(join(root, '=cmd, "x"'), {
    log: Array.from({ length: 3000 }, (_, i) => logRecord(i + 1, 3000, { reward: i })),
  });
  const served = await serve([root]);
  const run = await only(served);
  const { body, headers } = await served.get(`/api/curves.csv?run=${run.id}&metric=reward`);
  const lines = body.toString().split('\r\n');
  expect(headers['content-type']).toBe('text/csv; charset=utf-8');
  expect(lines).toHaveLength(3002);
  expect(lines[3000]).toBe(`"'=cmd, ""x""",reward,3000,2999`);
  expect((await curve(served, run.id, 'reward')).steps.length).toBeLessThanOrEqual(800);
});
