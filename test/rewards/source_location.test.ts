import { expect, test } from 'vitest';
import { locationIn } from '../../src/rewards/source_location.ts';

test('the line, without the column of the code that was made of it', () => {
  const error = Object.assign(new Error('no'), { stack: 'Error: no\n    at call (/p/reward.ts:3:184)' });
  expect(locationIn(error, '/p/reward.ts')).toBe('/p/reward.ts:3');
  expect(locationIn(new Error('Unexpected token\n /p/reward.ts:2:39'), '/p/reward.ts')).toBe('/p/reward.ts:2');
});

test('the file alone of what speaks of no line, or cannot be read', () => {
  const unreadable = Object.defineProperty(new Error('no'), 'stack', {
    get: () => {
      throw new Error('again');
    },
  });
  for (const thrown of ['plain words', undefined, Object.create(null), unreadable]) {
    expect(locationIn(thrown, '/p/reward.ts')).toBe('/p/reward.ts');
  }
});
