import { expect, test } from 'vitest';
import { cpu } from '../../src/runtime/cpu.ts';

test('a block is as wide as the vector registers, and there is one on every x86-64 processor', async () => {
  const expected = process.arch === 'x64' ? [8, 16] : [null, 4, 8, 16];
  expect(expected).toContain(await cpu.channelBlock());
});
