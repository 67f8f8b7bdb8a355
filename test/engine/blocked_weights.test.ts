import { describe, expect, test } from 'vitest';
import { createBlockedWeights } from '../../src/engine/blocked_weights.ts';
import { parametersOf } from '../../src/engine/parameters.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { type FloatTensor, zeros } from '../../src/runtime/tensor.ts';
import { inBlocksOf } from '../helpers/reference.ts';

const processorsBlock = await cpu.channelBlock();
const block = processorsBlock ?? 8;

function made(out: number, inner: number): FloatTensor {
  const tensor = zeros(out, inner);
  for (let i = 0; i < tensor.data.length; i++) tensor.data[i] = i + 1;
  return tensor;
}

/** A weight [out, in] with its outputs in blocks. */
const inBlocks = ({ data, dims: [out, inner] }: FloatTensor): number[] =>
  inBlocksOf(block)(out!, inner!, (o, i) => data[o * inner! + i]!);

async function copiesOf(tensors: Record<string, FloatTensor>) {
  const parameters = await parametersOf(new Map(Object.entries(tensors)), () => true);
  return createBlockedWeights(parameters, Object.keys(tensors));
}

describe.skipIf(processorsBlock === null)('on a processor with blocks', () => {
  test('copies follow their weights when they are told to', async () => {
    // The second is copied in pieces, which are not of one length.
    const [small, long] = [made(2 * block, 3 * block), made(4099 * block, 17 * block)];
    const copies = (await copiesOf({ small, long }))!;
    await copies.refresh();
    expect(copies.value('small').dims).toEqual([2 * block, 3 * block, 1, 1]);
    expect([...copies.value('small').data]).toEqual(inBlocks(small));
    const expected = inBlocks(long);
    expect(copies.value('long').data.findIndex((x, i) => x !== expected[i])).toBe(-1);
    small.data[5] = -1;
    expect([...copies.value('small').data]).not.toEqual(inBlocks(small));
    await copies.refresh();
    expect([...copies.value('small').data]).toEqual(inBlocks(small));
    await copies.release();
  });

  test('there are none of sizes that fill no blocks', async () => {
    expect(await copiesOf({ even: made(2 * block, block), odd: made(block, block + 1) })).toBeNull();
    expect(await copiesOf({ odd: made(block + 4, block) })).toBeNull();
  });

  test('nor of weights that were not named', async () => {
    const copies = (await copiesOf({ a: made(block, block) }))!;
    expect(() => copies.value('b')).toThrow("internal: no copy of 'b' in blocks");
    await copies.release();
  });
});
