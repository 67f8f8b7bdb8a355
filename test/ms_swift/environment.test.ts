import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readMsSwiftArguments } from '../../src/arguments/arguments.ts';
import { formatError } from '../../src/errors.ts';
import { lookAtEnvironment } from '../../src/ms_swift/environment.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { swiftFixtures } from './fixtures.ts';

const folder = temporaryFolder();
const { words: required, python } = swiftFixtures(folder);
const run = new AbortController().signal;

async function check(fake: object, ...words: string[]) {
  return lookAtEnvironment(readMsSwiftArguments([...required, ...words], {}), { FAKE: JSON.stringify(fake) }, run);
}

async function complaint(fake: object, ...words: string[]): Promise<string> {
  const { fault } = await check(fake, ...words);
  expect(fault?.exitCode).toBe(2);
  return formatError(fault!);
}

test('nothing is missing', async () => {
  expect(await check({ gpus: 2 }, '--nproc_per_node', '2')).toEqual({ gpus: 2, notes: [], fault: null });
});

describe('Python', () => {
  test('is not there', async () => {
    const told = await complaint({}, '--engine_python', join(folder, 'nowhere'));
    expect(told).toMatch(/^error: cannot run .*nowhere\n {2}at: --engine_python\n {2}fix: /);
    expect(told).toContain('-m venv swift-env && swift-env/bin/python -m pip install -r ');
  });

  test('is something else', async () => {
    const other = join(folder, 'other');
    writeFileSync(other, '#!/bin/sh\necho "no such thing" >&2\nexit 3\n');
    chmodSync(other, 0o755);
    expect(await complaint({}, '--engine_python', other)).toContain('does not work as a Python: no such thing');
  });

  test('is old', async () => {
    expect(await complaint({ python: [3, 10, 1] })).toContain('is Python 3.10.1, older than 3.11');
  });
});

describe('packages', () => {
  test('are missing', async () => {
    const told = await complaint({ versions: { 'ms-swift': null, torch: null } });
    expect(told).toContain('error: not installed: ms-swift, torch');
    expect(told).toMatch(new RegExp(`fix: ${python} -m pip install -r \\S+requirements\\.txt$`));
  });

  test('ms-swift is another one', async () => {
    const told = await complaint({ versions: { 'ms-swift': '3.9.0' } });
    expect(told).toContain('ms-swift is 3.9.0, but the plugin needs 4.6.0');
    expect(told).toContain('-m pip install ms-swift==4.6.0');
  });

  test('others than the tested ones are told, and how torch was built does not matter', async () => {
    const { notes } = await check({ versions: { transformers: '5.1.0', torch: '2.15.0+cu130' } });
    expect(notes).toEqual(['the plugin is tested with other versions: transformers 5.1.0 (tested: 5.19.0)']);
  });

  test.each([
    [['--deepspeed', 'zero2'], '--deepspeed needs deepspeed', 'pip install deepspeed'],
    [['--use_vllm', 'true'], '--use_vllm needs vllm', 'pip install vllm'],
    [['--report_to', 'tensorboard'], '--report_to needs tensorboard', 'or leave --report_to out'],
    [['--attn_impl', 'flash_attn'], '--attn_impl needs flash-attn', 'pip install flash-attn'],
  ])('that %s needs', async (words, message, fix) => {
    const told = await complaint({}, ...words);
    expect(told).toContain(message);
    expect(told).toContain(fix);
  });

  test('that a flag does not ask for are not', async () => {
    expect(await check({}, '--use_vllm', 'false', '--deepspeed', 'none')).toMatchObject({ fault: null });
  });

  test('torch is broken', async () => {
    expect(await complaint({ torch_fault: 'OSError: libcudart' })).toContain(
      'torch cannot be imported: OSError: libcudart',
    );
  });
});

test('more processes than GPUs', async () => {
  expect(await complaint({ gpus: 1 }, '--nproc_per_node', '2')).toContain('--nproc_per_node 2 is more than the 1 GPU');
  expect(await check({ gpus: 0 }, '--nproc_per_node', '2')).toMatchObject({ gpus: 0, fault: null });
});

test('all that is missing is told at once', async () => {
  const told = await complaint({ versions: { peft: null } }, '--deepspeed', 'zero2');
  expect(told).toContain('error: ms-swift cannot run yet:\n  ✖ not installed: peft; ');
  expect(told).toContain('\n  ✖ --deepspeed needs deepspeed');
});
