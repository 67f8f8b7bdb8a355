import { expect, test } from 'vitest';
import { SightlineError } from '../../src/errors.ts';
import { checkMemory } from '../../src/train/memory_check.ts';

const GiB = 2 ** 30;
const parts = [
  { what: 'weights', least: 4 * GiB, likely: 4 * GiB },
  { what: 'gradients', least: 3 * GiB, likely: 3 * GiB },
  { what: 'keys and values', least: 0, likely: 2 * GiB },
  { what: 'trifles', least: 0, likely: 1 },
];
const advice = { model: 'big', lowerLeast: ['set --beta 0'], lowerRest: ['lower --max_completion_length'] };
const machine = (most: number, free: number) => ({ most, free, limit: 'the memory of this machine' });

test('what fits passes', () => {
  expect(checkMemory(parts, machine(16 * GiB, 9.1 * GiB), advice)).toBeNull();
});

test('what fits only just, or not beside what runs already, is warned of', () => {
  expect(checkMemory(parts, machine(16 * GiB, 8 * GiB), advice)).toBe(
    'the run needs about 9.0 GiB of memory (weights 4.0, gradients 3.0, keys and values 2.0), but only 8.0 GiB are free; to lower it: lower --max_completion_length; or set --beta 0',
  );
  expect(checkMemory(parts, machine(7 * GiB, 1 * GiB), advice)).toContain('1.0 GiB are free');
});

test('what cannot fit is refused, with its parts and what to do', () => {
  const check = () => checkMemory(parts, machine(6.9 * GiB, 1 * GiB), advice);
  expect(check).toThrow(SightlineError);
  expect(check).toThrow(
    expect.objectContaining({
      code: 'E_MEMORY',
      exitCode: 2,
      where: '--model big',
      message:
        'the run needs at least 7.0 GiB of memory (weights 4.0, gradients 3.0), but the memory of this machine is 6.9 GiB',
      hint: 'set --beta 0; or use a smaller model or a larger machine; --check_memory false tries it anyway',
    }),
  );
});
