/**
 * The built-in rewards in whole runs: what is logged of them, a judge that goes away, and where its token does not appear.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import { type JudgeServer, judgeServer, reply } from '../helpers/judge_server.ts';
import { type TinyProject, tinyProject, tinyRun, writeRows } from '../helpers/tiny.ts';

const TOKEN = 'tok-of-this-test';
const root = temporaryFolder();
let project: TinyProject;
beforeAll(async () => {
  project = await tinyProject(root);
  process.env.JUDGE_TOKEN = TOKEN;
});
afterAll(() => void delete process.env.JUDGE_TOKEN);

/** A judge that answers each completion's length, and `failing` from this request on. */
function judge(failingFrom: number): Promise<JudgeServer> {
  return judgeServer(({ body, headers }, response, number) => {
    if (number >= failingFrom) return reply(response, `${headers.authorization}: out of memory`, 500);
    reply(response, {
      rewards: body.completions.map(({ length }) => length),
      reasons: body.completions.map(() => 'its length'),
    });
  });
}

const judgeFlags = (server: JudgeServer) => ({
  reward_funcs: ['http_judge', 'letters'],
  http_judge_url: server.url,
  http_judge_token_env: 'JUDGE_TOKEN',
  http_judge_retries: '1',
  http_judge_backoff: '0.001',
});

/** All that a run wrote, as text. */
function written(folder: string): string {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.map(({ parentPath, name }) => readFileSync(join(parentPath, name), 'latin1')).join('\n');
}

test('soft_overlong, repetition and cosine by their flags; iou and multiple_choice by their columns', async () => {
  const rows = join(root, 'boxes.jsonl');
  writeRows(
    rows,
    Array.from({ length: 4 }, (_, i) => ({
      messages: [{ role: 'user', content: '<image>where is <ref-object>?' }],
      images: [`${i}.png`],
      objects: { ref: ['it'], bbox: [[10, 10, 40, 40]] },
      options: ['left', 'right'],
      solution: i === 0 ? '7' : 'B',
    })),
  );
  const rewards = ['soft_overlong', 'repetition', 'cosine', 'iou', 'multiple_choice'];
  const { logs, completions, stdout } = await tinyRun(project, 'all', {
    dataset: rows,
    reward_funcs: rewards,
    soft_cache_length: '7',
    repetition_n_grams: '1',
    max_steps: '2',
  });
  for (const name of ['SoftOverlong', 'RepetitionPenalty', 'IoU', 'MultipleChoice']) {
    for (const log of logs) expect(log[`rewards/${name}/mean`]).toEqual(expect.any(Number));
  }
  // A completion of 8 tokens, the longest there is, has -1; each token less is worth a seventh.
  const lengths = completions.length as number[];
  const expected = lengths.map((length) => (length <= 1 ? 0 : -(length - 1) / 7));
  expect(completions.soft_overlong).toEqual(expected);
  expect(Math.min(...expected)).toBe(-1);
  expect(completions.iou!.every((value) => typeof value === 'number' && value >= 0 && value <= 1)).toBe(true);
  expect(completions.cosine!.every((value) => typeof value === 'number')).toBe(true);
  // One of the four rows has a solution that names no option.
  expect(completions.multiple_choice!.filter((value) => value === null)).toHaveLength(4);
  expect(stdout).toContain('multiple_choice: the solution of a row names no letter of its options');
  expect(stdout).toContain('(the first: "7"); such samples get no value (null).');
});

test('a judge that goes away in mid-run: --reward_error skip goes on without its values', async () => {
  const server = await judge(2);
  try {
    const { logs, completions, stdout, stderr, folder } = await tinyRun(project, 'skip', {
      ...judgeFlags(server),
      reward_error: 'skip',
    });
    expect(logs).toHaveLength(2);
    expect(logs[0]!['rewards/HttpJudge/mean']).toEqual(expect.any(Number));
    expect(logs[0]!['rewards/HttpJudge/null_frac']).toBeUndefined();
    expect(logs[1]!['rewards/HttpJudge/null_frac']).toBe(1);
    expect(logs[1]!['rewards/HttpJudge/mean']).toBeUndefined();
    expect(logs[1]!.loss).toEqual(expect.any(Number));
    expect(completions.http_judge_reason!.slice(0, 8)).toEqual(Array(8).fill('its length'));
    expect(stdout).toContain(
      'status 500: "Bearer ***: out of memory" (after 1 retry). Its values are null for these 8 completions',
    );
    const args = JSON.parse(readFileSync(join(folder, 'args.json'), 'utf8')) as Record<string, unknown>;
    expect(args).toMatchObject({
      http_judge_token_env: 'JUDGE_TOKEN',
      http_judge_url: server.url,
      reward_error: 'skip',
    });
    expect(written(folder)).toContain('JUDGE_TOKEN');
    expect(written(folder) + stdout + stderr).not.toContain(TOKEN);
    expect(server.asked.every(({ headers }) => headers.authorization === `Bearer ${TOKEN}`)).toBe(true);
  } finally {
    await server.close();
  }
});

test('a judge that goes away in mid-run: by default the run ends, and the weights of the last step are saved', async () => {
  const server = await judge(2);
  try {
    await expect(tinyRun(project, 'stop', judgeFlags(server))).rejects.toMatchObject({
      code: 'E_REWARD_JUDGE',
      exitCode: 2,
      where: '--http_judge_url',
    });
    const [run] = readdirSync(join(root, 'runs', 'stop'));
    expect(readdirSync(join(root, 'runs', 'stop', run!))).toContain('checkpoint-1');
  } finally {
    await server.close();
  }
});

test('a reward that is late ends the run at --reward_timeout', async () => {
  const server = await judgeServer(() => undefined);
  try {
    const flags = { ...judgeFlags(server), reward_timeout: '0.3' };
    await expect(tinyRun(project, 'late', flags)).rejects.toMatchObject({ code: 'E_REWARD_TIMEOUT', exitCode: 2 });
  } finally {
    await server.close();
  }
});

test('settings that cannot be end the run before anything is written', async () => {
  const flags = { reward_funcs: ['soft_overlong'], soft_cache_length: '8' };
  await expect(tinyRun(project, 'wrong', flags)).rejects.toMatchObject({
    code: 'E_REWARD_OPTION',
    message: '--soft_cache_length is 8, expected less than --soft_max_length, which is 8',
  });
  expect(readdirSync(join(root, 'runs'))).not.toContain('wrong');
});
