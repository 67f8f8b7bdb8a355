/**
 * The recorded run that comes with the program: its files are whole, and hold no path of the machine that made them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ui } from '../../src/cli/ui.ts';
import { pretendIo } from '../cli/io.ts';
import { repositoryRoot } from '../helpers/repository.ts';
import { serve } from './served.ts';

const folder = join(repositoryRoot, 'assets', 'demo', 'run');
const served = await serve([folder]);

test('runs, images by paths relative to the run, attention', async () => {
  const runs = await served.json<{ runs: { id: string }[] }>('/api/runs');
  expect(runs.runs).toHaveLength(1);
  const { id } = runs.runs[0]!;
  const image = await served.get(`/api/runs/${id}/completions/0/images/0`);
  expect([image.status, image.headers['content-type']]).toEqual([200, 'image/jpeg']);
  const attention = await served.get(`/api/runs/${id}/completions/0/attention`);
  expect(attention.status).toBe(200);
  expect(JSON.parse(attention.body.toString('utf8'))).toMatchObject({ grids: [[4, 4]] });
  expect(served.faults).toEqual([]);
});

test('no file names a folder outside of it', () => {
  for (const name of readdirSync(folder).filter((each) => /\.jsonl?$/.test(each))) {
    expect(readFileSync(join(folder, name), 'utf8'), name).not.toMatch(/"\/|\/tmp|\/home|\.\.\//);
  }
});

test('--demo true serves it in place of the folders', async () => {
  const { io, text } = pretendIo({ signal: AbortSignal.timeout(300) });
  await ui(['--demo', 'true', '--port', '0'], io);
  expect(text.stdout).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/login/);
});
