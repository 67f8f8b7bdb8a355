/**
 * The flags of the learning-rate schedule: its names, and settings given as a JSON object.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readSftArguments } from '../../src/arguments/arguments.ts';
import { lrSchedulerTypes } from '../../src/optim/schedule.ts';

const root = mkdtempSync(join(tmpdir(), 'sightline-schedule-'));
afterAll(() => rmSync(root, { recursive: true }));
const rows = join(root, 'rows.jsonl');
writeFileSync(rows, '{"messages": []}\n');
const read = (...words: string[]) => readSftArguments(['--model', root, '--dataset', rows, ...words], {});

describe('schedule flags', () => {
  test.each(lrSchedulerTypes)('--lr_scheduler_type %s', (type) => {
    expect(read('--lr_scheduler_type', type).args.lrSchedulerType).toBe(type);
  });

  test('--lr_scheduler_kwargs is a JSON object, and survives args.json', () => {
    expect(read().args.lrSchedulerKwargs).toBeNull();
    const { args, json } = read('--lr_scheduler_kwargs', '{"min_lr_rate": 0.1}');
    expect(args.lrSchedulerKwargs).toEqual({ min_lr_rate: 0.1 });
    const file = join(root, 'args.json');
    writeFileSync(file, JSON.stringify(json));
    expect(readSftArguments([file], {}).args.lrSchedulerKwargs).toEqual({ min_lr_rate: 0.1 });
  });

  test.each(['[1]', '3', 'min_lr_rate=0.1', '{"min_lr_rate": '])('--lr_scheduler_kwargs %s is refused', (word) => {
    expect(() => read('--lr_scheduler_kwargs', word)).toThrow(
      expect.objectContaining({
        where: '--lr_scheduler_kwargs',
        message: expect.stringContaining('expected a JSON object'),
      }),
    );
  });
});
