import { expect, test } from 'vitest';
import { placeIn } from '../../src/rewards/place.ts';

test('the file alone of what speaks of no line, or cannot be read', () => {
  const unreadable = Object.defineProperty(new Error('no'), 'stack', {
    get: () => {
      throw new Error('again');
    },
  });
  for (const thrown of ['plain words', undefined, Object.create(null), unreadable]) {
    expect(placeIn(thrown, '/p/reward.ts')).toBe('/p/reward.ts');
  }
});
