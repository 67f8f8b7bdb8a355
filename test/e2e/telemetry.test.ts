/**
 * A run leaves nothing but its output folder: ONNX Runtime's telemetry, which keeps what it is going to send below HOME,
 * is off.
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { installPackage } from '../helpers/package.ts';
import { tinyFlags, tinyProject } from '../helpers/tiny.ts';

const root = temporaryFolder();

test('a run writes nothing below HOME', async () => {
  const project = await tinyProject(root);
  const program = installPackage(join(root, 'package'));
  const home = join(root, 'home');
  mkdirSync(home);
  const words = ['rlhf', ...tinyFlags(project, { output_dir: join(root, 'run'), max_steps: '1' })];
  const { code, stderr } = await runCli(program, words, { env: { HOME: home, XDG_CACHE_HOME: join(home, 'cache') } });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(readdirSync(home, { recursive: true })).toEqual([]);
});
