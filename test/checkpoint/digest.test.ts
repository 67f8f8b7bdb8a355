/**
 * The digest of weights: what it covers, and how much it reads.
 */
import { describe, expect, test } from 'vitest';
import { type StoredTensors, sampledDigest } from '../../src/checkpoint/digest.ts';

const LARGE = 1_000_000;

/** Two tensors, a large one and a small one, whose bytes are `changed` in one place. */
function stored(changed?: { readonly name: string; readonly at: number }, order = ['large', 'small']) {
  const bytes = new Map([
    ['large', new Uint8Array(LARGE).fill(7)],
    ['small', new Uint8Array(16_384).fill(7)],
  ]);
  if (changed !== undefined) bytes.get(changed.name)![changed.at] = 8;
  let read = 0;
  const tensors: StoredTensors = {
    tensors: new Map(
      order.map((name) => {
        const size = bytes.get(name)!.length;
        return [name, { dtype: 'F16', shape: [size / 2], begin: 100, end: 100 + size }];
      }),
    ),
    readRaw: (name, from = 0, length = 0) => {
      read += length;
      return bytes.get(name)!.slice(from, from + length);
    },
  };
  return { digest: sampledDigest(tensors), read };
}

describe('sampledDigest', () => {
  const whole = stored();

  test('reads at most 16 KiB of a tensor', () => {
    expect(whole.read).toBe(2 * 16_384);
  });

  test.each([
    ['large', 0],
    ['large', LARGE - 1],
    ['large', Math.floor((LARGE - 4096) / 3)],
    ...Array.from({ length: 8 }, (_, i): [string, number] => ['small', i * 2048 + i]),
  ])('changes with a sampled byte: %s %d', (name, at) => {
    expect(stored({ name: String(name), at: Number(at) }).digest).not.toBe(whole.digest);
  });

  test('does not see a byte between the windows', () => {
    expect(stored({ name: 'large', at: 4096 }).digest).toBe(whole.digest);
  });

  test('does not depend on the order of the tensors, and depends on their names', () => {
    expect(stored(undefined, ['small', 'large']).digest).toBe(whole.digest);
    expect(stored(undefined, ['large']).digest).not.toBe(whole.digest);
  });
});
