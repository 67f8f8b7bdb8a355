/**
 * The doctor's verdicts on the page of runs: those of the files, and none of files that lie outside.
 */
import { cpSync, mkdirSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { Verdict } from '../../src/doctor/verdict.ts';
import type { RunSummary } from '../../src/ui/api.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { serve } from './served.ts';

const root = temporaryFolder();
const ZERO_RUN = fileURLToPath(new URL('../doctor/ms_swift_zero', import.meta.url));

test('verdicts of a run, and none over a link that leads outside', async () => {
  const [inside, outside] = [join(root, 'inside'), join(root, 'outside')];
  for (const folder of [join(inside, 'zero'), join(inside, 'linked'), outside]) {
    mkdirSync(folder, { recursive: true });
    for (const name of ['logging.jsonl', 'completions.jsonl', 'args.json'])
      cpSync(join(ZERO_RUN, name), join(folder, name));
  }
  renameSync(join(inside, 'linked', 'completions.jsonl'), join(root, 'away.jsonl'));
  symlinkSync(join(root, 'away.jsonl'), join(inside, 'linked', 'completions.jsonl'));
  const { json, get } = await serve([inside]);
  const { runs } = await json<{ runs: RunSummary[] }>('/api/runs');
  const idOf = (name: string): string => runs.find((run) => run.name === name)!.id;
  const { verdicts } = await json<{ verdicts: Verdict[] }>(`/api/runs/${idOf('zero')}/verdicts`);
  expect(verdicts[0]).toMatchObject({ code: 'NO_ATTENTION', severity: 'severe' });
  expect(await json(`/api/runs/${idOf('linked')}/verdicts`)).toEqual({ verdicts: null });
  expect((await get('/api/runs/unknown/verdicts')).status).toBe(404);
});
