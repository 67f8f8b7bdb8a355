/**
 * Runs on the graphics processor that are resumed there: they end with the bits of the run that was never stopped, with all
 * that training changes in the device's memory.
 */
import { cpSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { rlhf } from '../../src/cli/rlhf.ts';
import { pretendIo } from '../cli/io.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { type FlagValues, runFolder, type TinyProject, tinyFlags, tinyProject } from '../helpers/tiny.ts';

const root = temporaryFolder();
let project: TinyProject;
beforeAll(async () => {
  project = await tinyProject(root, 4);
});

async function run(changes: FlagValues): Promise<void> {
  const flags = { device: 'webgpu', max_steps: '2', save_steps: '1', reward_funcs: 'letters', ...changes };
  await rlhf(tinyFlags(project, flags), pretendIo({}).io);
}

test.each<[string, FlagValues]>([
  ['a model, with a reference that follows', { beta: '0.1', sync_ref_model: 'true', ref_model_sync_steps: '1' }],
  ['an adapter', { tuner_type: 'lora', lora_rank: '4' }],
])('%s', async (name, changes) => {
  await run({ output_dir: join(root, name), ...changes });
  const whole = runFolder(join(root, name));
  const copy = join(root, `${name}, resumed`);
  cpSync(whole, copy, { recursive: true });
  rmSync(join(copy, 'checkpoint-2'), { recursive: true });
  const output = { output_dir: join(root, 'unused'), resume_from_checkpoint: join(copy, 'checkpoint-1') };
  await run({ ...output, ...changes });
  const tensorsIn = (folder: string) =>
    readdirSync(join(folder, 'checkpoint-2')).filter((file) => file.endsWith('.safetensors'));
  expect(tensorsIn(whole)).toContain('optimizer.safetensors');
  expect(tensorsIn(copy)).toEqual(tensorsIn(whole));
  for (const file of tensorsIn(whole)) {
    const [there, here] = [whole, copy].map((folder) => readFileSync(join(folder, 'checkpoint-2', file)));
    expect(here!.equals(there!), file).toBe(true);
  }
});
