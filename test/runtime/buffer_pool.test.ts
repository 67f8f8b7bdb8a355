import { expect, test } from 'vitest';
import { createBufferPool, sizeClass } from '../../src/runtime/buffer_pool.ts';
import type { OrtTensor } from '../../src/runtime/session.ts';

const MIB = 2 ** 20;

/** A device with so many bytes. */
function deviceOf(bytes: number) {
  const device = { left: bytes, asked: 0 };
  const allocate = async (words: number): Promise<OrtTensor> => {
    device.asked++;
    if (4 * words > device.left)
      throw new Error('WebGPU validation failed. [Invalid Buffer (unlabeled)] is invalid due to a previous error.');
    device.left -= 4 * words;
    return { dispose: () => (device.left += 4 * words) } as unknown as OrtTensor;
  };
  return { device, allocate };
}

test('size classes hold what is asked and at most an eighth more', () => {
  for (let bytes = 1; bytes < 2 ** 26; bytes = Math.ceil(bytes * 1.37)) {
    const size = sizeClass(bytes);
    expect(size).toBeGreaterThanOrEqual(bytes);
    expect(size).toBeLessThanOrEqual(Math.max(16, bytes * 1.125 + 16));
    expect(size % 16).toBe(0);
  }
});

test('a buffer that was given back is taken again, and counted until it is freed', async () => {
  const { device, allocate } = deviceOf(64 * MIB);
  const pool = createBufferPool(allocate);
  const first = await pool.take(8 * MIB);
  pool.give(first);
  expect(await pool.take(8 * MIB)).toBe(first);
  expect([device.asked, pool.bytes, pool.peak]).toEqual([1, 8 * MIB, 8 * MIB]);
  pool.give(first);
  expect(pool.drain()).toBe(true);
  expect(pool.drain()).toBe(false);
  expect([pool.bytes, pool.peak, device.left]).toEqual([0, 8 * MIB, 64 * MIB]);
});

test('where the device has no room, buffers of other sizes are freed first; then the error says what is held', async () => {
  const { allocate } = deviceOf(64 * MIB);
  const pool = createBufferPool(allocate);
  const held = await pool.take(16 * MIB);
  pool.give(await pool.take(40 * MIB));
  await pool.take(32 * MIB);
  expect([pool.bytes, pool.peak]).toEqual([48 * MIB, 56 * MIB]);
  await expect(pool.take(32 * MIB)).rejects.toMatchObject({
    code: 'E_DEVICE_MEMORY',
    message:
      'the memory of the graphics processor has run out: memory for a tensor (0.03 GiB) was asked for, and 0.05 GiB are held',
  });
  expect(pool.bytes).toBe(48 * MIB);
  pool.give(held);
  await pool.take(32 * MIB);
});

test('a limit is kept without asking the device', async () => {
  const { device, allocate } = deviceOf(64 * MIB);
  const pool = createBufferPool(allocate, { all: 32 * MIB });
  pool.give(await pool.take(24 * MIB));
  await expect(pool.take(40 * MIB)).rejects.toMatchObject({ code: 'E_DEVICE_MEMORY' });
  expect(device.asked).toBe(1);
  await pool.take(32 * MIB);
  expect(pool.bytes).toBe(32 * MIB);
});

test('a buffer above the largest one is refused, and one just below it is not rounded up', async () => {
  const { device, allocate } = deviceOf(64 * MIB);
  const pool = createBufferPool(allocate, { one: 16 * MIB });
  await expect(pool.take(16 * MIB + 4)).rejects.toMatchObject({
    code: 'E_DEVICE_MEMORY',
    message: expect.stringContaining('the graphics processor takes no tensor above 0.02 GiB'),
  });
  expect(device.asked).toBe(0);
  expect((await pool.take(16 * MIB - 4)).bytes).toBe(16 * MIB);
});
