import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { kernelMs, type PartOfStep } from '../../bench/device_step.ts';
import { covered, timedKernels } from '../../bench/kernel_times.ts';
import { temporaryFolder } from '../helpers/folder.ts';

test('what intervals cover of a span: parts of them, gaps not, overlaps once', () => {
  const intervals = [
    { from: 0, to: 3 },
    { from: 4, to: 6 },
    { from: 5, to: 7 },
    { from: 9, to: 20 },
  ];
  expect(covered(intervals, { from: 2, to: 10 })).toBe(1 + 3 + 1);
  expect(covered(intervals, { from: 7, to: 9 })).toBe(0);
  expect(covered([], { from: 0, to: 1 })).toBe(0);
});

test('kernels of all files in order, counted between the marks of the last step', () => {
  const folder = temporaryFolder();
  const event = (cat: string, name: string, ts: number, dur: number) => ({ cat, name, ts, dur });
  const marks = [0, 10, 100, 150, 160, 200].map((ts) => event('Api', 'mark of a part&Exp&Exp', 1000 * ts, 1000));
  writeFileSync(join(folder, 'marks.json'), JSON.stringify(marks));
  const work = [
    event('Node', 'v:0_kernel_time', 0, 1e6),
    event('Api', 'v:1&Mul&Mul', 170_000, 20_000),
    event('Api', 'v:0&Gemm&Gemm', 110_000, 30_000),
    event('Api', 'v:0&Gemm&Gemm', 3000, 5000),
  ];
  writeFileSync(join(folder, 'work.json'), JSON.stringify(work));
  const kernels = timedKernels(folder);
  expect(kernels.map(({ from }) => from)).toEqual([0, 3, 10, 100, 110, 150, 160, 170, 200]);
  const part = (name: string): PartOfStep => ({ name, ms: 0, toDevice: 0, fromDevice: 0 });
  expect(kernelMs([part('a'), part('b')], kernels)).toEqual([30, 20]);
  expect(() => kernelMs(Array.from('abcd', part), kernels)).toThrow('6 marks among the kernels of 4 parts');
});
