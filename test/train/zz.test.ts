import { expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import { tinyProject, tinyRun } from '../helpers/tiny.ts';
const root = temporaryFolder();
test('x', async () => {
  let t = performance.now();
  const p = await tinyProject(root);
  console.log('project', performance.now() - t); t = performance.now();
  const run = await tinyRun(p, 'a');
  console.log('run', performance.now() - t); t = performance.now();
  console.log(run.stdout, run.stderr, run.logs, run.completions, run.last);
  await tinyRun(p, 'b');
  console.log('run2', performance.now() - t);
  expect(1).toBe(1);
});
