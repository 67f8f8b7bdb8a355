/** A frozen table of embeddings crosses to a device once, however often its rows are taken. */
import { expect, test } from 'vitest';
import { openCounted } from '../../src/runtime/counted.ts';
import { createRowMoves } from '../../src/runtime/row_moves.ts';
import { floats } from '../../src/runtime/tensor.ts';

test('rows of a held table are gathered where the table is', async () => {
  const { device } = await openCounted();
  const moves = createRowMoves(device);
  const table = device.hold(floats(new Float32Array(1000 * 8), [1000, 8]));
  const into = device.reserve('float32', [3, 8]);
  for (const _ of [1, 2, 3]) await moves.gather(table, Int32Array.of(5, 6, 7), into);
  // The table, and three times three numbers of rows.
  expect(device.traffic.toDevice).toBe(4 * 1000 * 8 + 3 * 3 * 4);
});
