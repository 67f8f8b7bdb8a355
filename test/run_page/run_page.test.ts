/**
 * The page of a run, from runs of the tiny model, from a run of ms-swift, and from a run whose every text is hostile.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { writeIndex } from '../../src/attention_log/format.ts';
import { createAttentionLog } from '../../src/attention_log/writer.ts';
import { report } from '../../src/cli/report.ts';
import { ticks } from '../../src/run_page/curve_svg.ts';
import { numberCells } from '../../src/run_page/numbers.ts';
import { runPage } from '../../src/run_page/page.ts';
import { pretendIo } from '../cli/io.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { type TinyRun, tinyProject, tinyRun } from '../helpers/tiny.ts';
import { completionsLine, logRecord, writeRun } from '../ui/made_runs.ts';

const root = temporaryFolder();
let run: TinyRun;

beforeAll(async () => {
  const project = await tinyProject(root, 4);
  run = await tinyRun(project, 'a', { max_steps: '3', reward_weights: ['1', '2'], num_completions_to_print: '0' });
});

describe('a run of sightline', () => {
  let page: string;
  beforeAll(async () => {
    const file = join(root, 'page.html');
    const { io, text } = pretendIo();
    await report([run.folder, '-o', file], io);
    expect(text.stdout).toBe(`wrote ${file}\n`);
    page = readFileSync(file, 'utf8');
  });

  test('names how it ended, with the first and last metrics', () => {
    expect(factOf(page, 'status')).toBe('completed');
    expect(factOf(page, 'steps')).toBe('3 of 3');
    expect(factOf(page, 'best checkpoint')).toContain(String(run.last.best_model_checkpoint ?? 'none'));
    const { first, last } = rowOf(page, 'reward');
    expect(Number(first)).toBeCloseTo(run.logs[0]!.reward!, 3);
    expect(Number(last)).toBeCloseTo(run.logs.at(-1)!.reward!, 3);
  });

  test('shows the completions with the greatest and the least sum of weighted rewards, each with its image', () => {
    const { step, completion } = run.completions;
    const rewards = Object.keys(run.completions);
    const names = rewards.slice(rewards.indexOf('completion') + 1, rewards.indexOf('advantages'));
    expect(names).toHaveLength(2);
    const total = (i: number): number =>
      Number(run.completions[names[0]!]![i]) + 2 * Number(run.completions[names[1]!]![i]);
    const last = completion!.flatMap((_, i) => (Number(step![i]) === 3 ? [i] : []));
    const ordered = last.sort((a, b) => total(b) - total(a));
    const section = page.slice(page.indexOf('<h3>Step 3'), page.indexOf('<h3>Step 2'));
    const sums = [...section.matchAll(/reward, in sum<\/th>\s*<td>([^<]+)/g)].map(([, sum]) => numberOf(sum!));
    expect(sums).toHaveLength(2);
    expect(sums[0]).toBeCloseTo(total(ordered[0]!), 3);
    expect(sums[1]).toBeCloseTo(total(ordered.at(-1)!), 3);
    // each a second time, under its attention
    expect(section.match(/src="data:image\/jpeg;base64,/g)).toHaveLength(4);
  });

  test('draws a curve for each main metric and needs nothing from elsewhere', () => {
    expect(page).toContain('aria-label="reward"');
    expect(page).toContain('aria-label="rewards/DDAPOAttentionORM/mean"');
    expect(page).not.toContain('NaN');
    expect(page).not.toMatch(/<script|\bon\w+=|https?:|url\(/);
  });

  test('without images none is read', async () => {
    expect(await runPage(run.folder, { images: false })).not.toContain('<img');
  });
});

test('the attention of the shown completion lies over its image', async () => {
  const folder = join(root, 'attention');
  const picture = join(root, '0.png');
  const row = (completion: string, reward: number) => ({ completion, reward, images: [picture] });
  writeRun(folder, {
    log: [logRecord(1, 1, { reward: 0.5 })],
    completions: [completionsLine(1, [row('worse', 0), row('better', 1)])],
  });
  const weights = Float32Array.of(0, 0.25, 0.5, 0.25, 0, 0, 0.5, 0.25, 0.5, 0.25, 0, 0);
  const entry = { row: 1, tokens: ['bet', 'ter'], grids: [[2, 3]] as const, weights, channels: {} };
  createAttentionLog(join(folder, 'attention'), 2 ** 20).write(1, [5], [entry]);
  const page = await runPage(folder, { images: true });
  const [heat, ...more] = [...page.matchAll(/data:image\/png;base64,([^"]+)/g)].map(([, data]) => data!);
  expect(more).toEqual([]);
  const { data, info } = await sharp(Buffer.from(heat!, 'base64')).raw().toBuffer({ resolveWithObject: true });
  expect([info.height, info.width, info.channels]).toEqual([2, 3, 4]);
  // means over both tokens: 0.25 0.25 0.5 0.25 0 0; viridis ends in fde725 and begins with 440154
  expect([...data.subarray(4 * 2, 4 * 2 + 3)]).toEqual([0xfd, 0xe7, 0x25]);
  expect([...data.subarray(4 * 5, 4 * 5 + 3)]).toEqual([0x44, 0x01, 0x54]);
});

test('an index of attention whose grids no byte of the file bounds takes no memory', async () => {
  const folder = join(root, 'grids');
  writeRun(folder, {
    log: [logRecord(1, 1, { reward: 0.5 })],
    completions: [completionsLine(1, [{ completion: 'a', reward: 1, images: [join(root, '0.png')] }])],
  });
  mkdirSync(join(folder, 'attention'));
  const grids = Array.from({ length: 4000 }, () => [4096, 4096] as const);
  const completions = [{ row: 0, tokens: ['a'], grids, channels: ['entropy'], offset: 0 }];
  writeFileSync(join(folder, 'attention', 'step-1.json'), writeIndex({ step: 1, layers: [], completions }));
  writeFileSync(join(folder, 'attention', 'step-1.bin'), new Uint8Array(2));
  expect(await runPage(folder, { images: true })).not.toContain('class="heat"');
});

test('a run of ms-swift has a page too, with the verdict on it', async () => {
  const folder = fileURLToPath(new URL('../doctor/ms_swift_zero', import.meta.url));
  const page = await runPage(folder, { images: true });
  expect(factOf(page, 'program')).toBe('ms-swift');
  expect(page).toContain('NO_ATTENTION');
  expect(page).toContain('The log of this run does not name its images.');
});

test('whatever a model, a dataset or arguments say stands as text; secrets are left out', async () => {
  const folder = join(root, 'hostile');
  const evil = '</dd></style><script>alert(1)</script><img src=x onerror=alert(1)>"\'&\u202e';
  writeRun(folder, {
    log: [logRecord(1, 2, { reward: 0.5, [`rewards/${evil}/mean`]: 1 })],
    completions: [
      completionsLine(1, [
        { prompt: evil, completion: evil, reward: 1, images: ['https://example.com/a.png', '/nowhere/a.png'] },
      ]),
    ],
    args: { model: evil, hub_token: 'hf_secret', [evil]: evil, reward_weights: [evil] },
  });
  const page = await runPage(folder, { images: true });
  expect(page).not.toMatch(/<script|<img|hf_secret|\u202e/);
  expect(page).toContain('&lt;script&gt;alert(1)');
  expect(page).toContain('image not found: /nowhere/a.png');
  expect(page.match(/<style>/g)).toHaveLength(1);
});

test('a run without finite values or rewards says so', async () => {
  const folder = join(root, 'empty');
  writeRun(folder, {
    log: [logRecord(1, 2, { loss: 'NaN' })],
    completions: [completionsLine(1, [{ completion: 'a', reward: null }])],
  });
  const page = await runPage(folder, { images: true });
  expect(page).toContain('no finite value');
  expect(page).toContain('No completion of 1 has a reward.');
  expect(factOf(page, 'time')).toBe('not logged');
});

test('a folder that holds no run is refused, and nothing is written', async () => {
  const file = join(root, 'none.html');
  await expect(report([join(root, 'runs'), '--output', file], pretendIo().io)).rejects.toThrow(
    /not the folder of a run/,
  );
  expect(existsSync(file)).toBe(false);
});

test('numbers of a column have their points below one another', () => {
  expect(numberCells([1.5, null, -12, 0.125])).toEqual([
    '1.5\u2007\u2007',
    '–\u2008\u2007\u2007\u2007',
    '\u221212\u2008\u2007\u2007\u2007',
    '0.125',
  ]);
});

test.each([
  [0, 1, [0, 0.5, 1]],
  [-0.3, 0.3, [-0.2, 0, 0.2]],
  [12, 95, [20, 40, 60, 80]],
  [0.00012, 0.00021, [0.00012, 0.00014, 0.00016, 0.00018, 0.0002]],
])('ticks from %d to %d are round', (low, high, expected) => {
  expect(ticks(low, high)).toEqual(expected);
});

const factOf = (page: string, name: string): string | undefined =>
  new RegExp(`<dt>${name}</dt>\\s*<dd>([^<]*)`).exec(page)?.[1];

function rowOf(page: string, metric: string): { first: number; last: number } {
  const cells = new RegExp(
    `<th scope="row"[^>]*>${metric}(?: <span[^>]*>[^<]*</span>)?</th><td>([^<]*)</td><td>([^<]*)</td>`,
  ).exec(page)!;
  return { first: numberOf(cells[1]!), last: numberOf(cells[2]!) };
}

const numberOf = (text: string): number => Number(text.replace('\u2212', '-').replace(/[\u2007\u2008]/g, ''));
