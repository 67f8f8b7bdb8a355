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
    const needed = type === 'cosine_with_min_lr' ? ['--lr_scheduler_kwargs', '{"min_lr_rate": 0.1}'] : [];
    expect(read('--lr_scheduler_type', type, ...needed).args.lrSchedulerType).toBe(type);
  });

  test.each([
    [['--lr_scheduler_type', 'cosine_with_min_lr'], 'needs one of min_lr and min_lr_rate, got neither'],
    [['--lr_scheduler_kwargs', '{"min_lr_rate": 0.1}'], 'cosine has no setting "min_lr_rate"'],
    [['--lr_scheduler_kwargs', '{"num_cycles": "a"}'], '"num_cycles" is "a", expected a number'],
    [
      [
        ...['--lr_scheduler_type', 'cosine_with_min_lr', '--lr_scheduler_kwargs', '{"min_lr": 1e-7}'],
        ...['--learning_rate', '0'],
      ],
      'min_lr is relative to the learning rate, which is 0',
    ],
  ])('%j is told with the other faults of the line', (words, message) => {
    expect(() => read(...words, '--top', '1')).toThrow(
      expect.objectContaining({
        code: 'E_ARGUMENTS',
        message: expect.stringMatching(/^2 arguments of sightline sft are wrong/),
      }),
    );
    expect(() => read(...words)).toThrow(
      expect.objectContaining({ where: '--lr_scheduler_kwargs', message: expect.stringContaining(message) }),
    );
  });

  test('--lr_scheduler_kwargs is a JSON object, and survives args.json', () => {
    expect(read().args.lrSchedulerKwargs).toBeNull();
    const words = ['--lr_scheduler_type', 'cosine_with_min_lr', '--lr_scheduler_kwargs', '{"min_lr_rate": 0.1}'];
    const { args, json } = read(...words);
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
