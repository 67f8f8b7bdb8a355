import { expect, test } from 'vitest';
import { closing } from '../../src/util/resources.ts';

const partsOf = (closed: string[]) => ({
  file: { close: () => void closed.push('file') },
  model: {
    async release() {
      closed.push('model begins');
      await Promise.resolve();
      closed.push('model ends');
    },
  },
});

test('parts are closed one after another, the last one first', async () => {
  const closed: string[] = [];
  const { file, model } = partsOf(closed);
  const result = await closing(async (keep) => {
    expect(keep(file)).toBe(file);
    keep(model);
    return closed.length;
  });
  expect(result).toBe(0);
  expect(closed).toEqual(['model begins', 'model ends', 'file']);
});

test('those opened before an error are closed too, and the error is the one that is thrown', async () => {
  const closed: string[] = [];
  const { file } = partsOf(closed);
  const run = closing(async (keep) => {
    keep(file);
    throw new Error('the next part could not be opened');
  });
  await expect(run).rejects.toThrow('the next part could not be opened');
  expect(closed).toEqual(['file']);
});
