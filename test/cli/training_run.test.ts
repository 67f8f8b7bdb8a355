import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { trainingRun } from '../../src/cli/training_run.ts';
import { SightlineError } from '../../src/errors.ts';
import type { RunContext } from '../../src/train/events.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { endEvent, logEvent, rowOrigin, startEvent } from '../report/events.ts';
import { pretendIo } from './io.ts';

const root = temporaryFolder();

function settings(outputDir: string) {
  return {
    outputDir,
    addVersion: true,
    reportTo: ['tensorboard'] as const,
    logCompletions: true,
    attnLogLimit: 0,
    completionsToPrint: 2,
    dryRun: false,
    plugins: [],
    resumeFromCheckpoint: null,
    resumeOnlyModel: false,
    ignoreDataSkip: false,
  };
}

const read = { json: { seed: 42 }, changed: { beta: 0 }, notices: ['--bf16 has no effect'] };

async function short({ emit, outputDir, changed }: RunContext): Promise<void> {
  await emit(startEvent({ outputDir, changed }));
  await emit(logEvent(1, { reward: 1 }));
  const row = { row: rowOrigin(), prompt: 'p', completion: 'c', rewards: { Format: 1 }, advantage: 0, extras: {} };
  await emit({ type: 'completions', step: 1, rows: [row] });
  await emit(endEvent({ outputDir }));
}

describe('trainingRun', () => {
  test('leaves the folder of ms-swift', async () => {
    const { io, text } = pretendIo();
    const parent = join(root, 'whole');
    await trainingRun('rlhf', read, settings(parent), io, short);
    const [name, ...others] = readdirSync(parent);
    expect(others).toEqual([]);
    expect(name).toMatch(/^v0-\d{8}-\d{6}$/);
    const folder = join(parent, name!);
    expect(readdirSync(folder).sort()).toEqual(['args.json', 'completions.jsonl', 'logging.jsonl', 'runs']);
    expect(JSON.parse(readFileSync(join(folder, 'args.json'), 'utf8'))).toMatchObject({ seed: 42 });
    expect(text.stdout).toContain('note: --bf16 has no effect');
    expect(text.stdout).toContain('given    beta 0');
    expect(text.stderr).toBe('');
  });

  test.each([['before anything'], ['in a new folder']])('a run that fails %s leaves nothing', async (where) => {
    const { io } = pretendIo();
    const parent = join(root, where);
    if (where === 'before anything') mkdirSync(parent);
    const failure = new SightlineError('E_X', 'a broken shard');
    const run = trainingRun('rlhf', read, settings(join(parent, 'output')), io, () => Promise.reject(failure));
    await expect(run).rejects.toBe(failure);
    expect(existsSync(join(parent, 'output'))).toBe(false);
  });

  test('a dry run that succeeds leaves nothing', async () => {
    const { io, text } = pretendIo();
    const parent = join(root, 'dry');
    await trainingRun('rlhf', read, { ...settings(parent), dryRun: true }, io, async ({ emit, outputDir }) => {
      expect(existsSync(outputDir), 'the folder is tried').toBe(true);
      await emit(startEvent({ outputDir, dryRun: true }));
      await emit({ type: 'notice', level: 'info', text: 'dry run: done' });
    });
    expect(existsSync(parent)).toBe(false);
    expect(text.stdout).toContain('model    model');
    expect(text.stdout).toContain('dry run: done');
  });

  test('a run that fails later keeps what it logged', async () => {
    const { io } = pretendIo();
    const parent = join(root, 'later');
    const run = trainingRun('sft', read, settings(parent), io, async ({ emit, outputDir }) => {
      await emit(startEvent({ outputDir }));
      await emit(logEvent(1, { loss: 1 }));
      throw new Error('internal: later');
    });
    await expect(run).rejects.toThrow('internal: later');
    const [name] = readdirSync(parent);
    expect(readFileSync(join(parent, name!, 'logging.jsonl'), 'utf8')).toContain('"loss":1');
  });

  test('the signal reaches the trainer', async () => {
    const controller = new AbortController();
    const { io } = pretendIo({ signal: controller.signal });
    let seen = false;
    await trainingRun('sft', read, settings(join(root, 'signal')), io, async ({ signal }) => {
      controller.abort();
      seen = signal.aborted;
    });
    expect(seen).toBe(true);
  });
});
