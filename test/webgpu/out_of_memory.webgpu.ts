/** A device without room ends no process: it says what it holds and what was asked for, and goes on working. */
import { expect, test } from 'vitest';
import { add, exp } from '../../src/graph/ops/elementwise.ts';
import { sum } from '../../src/graph/ops/reduce.ts';
import { input } from '../../src/graph/value.ts';
import type { Device } from '../../src/runtime/device.ts';
import { floats } from '../../src/runtime/tensor.ts';
import { openWebgpu } from '../../src/runtime/webgpu.ts';

const GIB = 2 ** 30;

async function computes(device: Device): Promise<void> {
  const there = await device.upload(floats(Float32Array.of(1, 2, 3), [3]));
  expect([...(await device.download(there)).data]).toEqual([1, 2, 3]);
  device.release(there);
}

test('a limit of ours is kept, and memory that is given back counts no more', async () => {
  const device = await openWebgpu({ memory: 8 * 2 ** 20 });
  const first = await device.allocate('float32', [2 ** 20]);
  await expect(device.allocate('float32', [2 ** 21])).rejects.toMatchObject({ code: 'E_DEVICE_MEMORY', exitCode: 1 });
  await computes(device);
  device.release(first);
  device.release(await device.allocate('float32', [2 ** 21]));
  expect(device.memory()!.peak).toBeLessThanOrEqual(8 * 2 ** 20);
});

/** SwiftShader has tensors up to 1 GiB by its own account, but no memory for one of that size. */
test.skipIf(process.env.WEBGPU_ADAPTER === 'own')('tensors and runs beyond what the adapter has', async () => {
  const device = await openWebgpu();
  // ONNX Runtime compares a tensor with the adapter's limit, but not always before the driver has no memory for it.
  await expect(device.allocate('float32', [GIB / 2])).rejects.toThrow(
    /^the (graphics processor takes no tensor above 1\.00 GiB|memory of the graphics processor has run out): memory for a tensor \(2\.00 GiB\) was asked for/,
  );
  await computes(device);
  await expect(device.allocate('float32', [GIB / 4])).rejects.toThrow(
    'the memory of the graphics processor has run out: memory for a tensor (1.00 GiB) was asked for',
  );
  await computes(device);
  const [x, y] = [input('x', ['N', 1]), input('y', [1, 'M'])];
  const sums = await device.compile({ name: 'sums', inputs: { x, y }, outputs: { s: sum(exp(add(x, y)), [1]) } });
  const run = (n: number) =>
    sums.run({ x: floats(new Float32Array(n), [n, 1]), y: floats(new Float32Array(2 ** 14), [1, 2 ** 14]) });
  await expect(run(2 ** 14)).rejects.toThrow(
    /^the memory of the graphics processor has run out: a run of sums \(2\.00 GiB\) was asked for, and 0\.00 GiB are held$/,
  );
  await computes(device);
  expect((await run(16)).s!.data[15]).toBeCloseTo(2 ** 14, 0);
});
