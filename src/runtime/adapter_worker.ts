/**
 * A process that tries the graphics processor and reports what it finds, message by message. A driver may end the process that
 * uses it: what has been reported until then says how far it came.
 */

import { messageOf } from '../errors.ts';
import { add } from '../graph/ops/elementwise.ts';
import { widened } from '../graph/ops/frozen.ts';
import { gemm } from '../graph/ops/matmul.ts';
import { input } from '../graph/value.ts';
import { type AdapterFinding, LARGE_BYTES, SMALL_BYTES } from './adapter.ts';
import { cpu } from './cpu.ts';
import type { Device } from './device.ts';
import { floats, halves } from './tensor.ts';
import { openWebgpu } from './webgpu.ts';

/** Size of the product [n, n] · [n, n]: large enough to tell a graphics processor from one in software. */
const SIZE = 512;
/** Products that are timed, one after another. */
const TIMES = 4;

const tell = (finding: AdapterFinding): void => void process.send?.(finding);

/** The product of two fixed matrices plus the third, and the seconds that one takes. */
async function product(device: Device): Promise<{ result: Float32Array; seconds: number }> {
  const [a, b, c] = [input('a', [SIZE, SIZE]), input('b', [SIZE, SIZE]), input('c', [SIZE, SIZE])];
  const executable = await device.compile({ name: 'product', inputs: { a, b, c }, outputs: { y: add(gemm(a, b), c) } });
  const matrix = (step: number) => {
    const data = Float32Array.from({ length: SIZE ** 2 }, (_, i) => ((i * step) % 101) / 101 - 0.5);
    return device.upload(floats(data, [SIZE, SIZE]));
  };
  const feeds = { a: await matrix(37), b: await matrix(53), c: await matrix(71) };
  const into = { y: await device.allocate('float32', [SIZE, SIZE]) };
  await executable.run(feeds, into); // compiles the kernels
  await device.download(into.y);
  const start = performance.now();
  for (let i = 0; i < TIMES; i++) await executable.run(feeds, into);
  const { data } = await device.download(into.y);
  return { result: data as Float32Array, seconds: (performance.now() - start) / 1000 / TIMES };
}

async function hasRoom(device: Device, bytes: number): Promise<boolean> {
  try {
    device.release(await device.allocate('float32', [bytes / Float32Array.BYTES_PER_ELEMENT]));
    return true;
  } catch {
    return false; // too large for a buffer of the adapter, or for its memory
  } finally {
    device.tidy();
  }
}

async function probe(): Promise<void> {
  const device = await openWebgpu();
  const [there, expected] = [await product(device), await product(cpu)];
  let error = 0;
  for (const [i, x] of expected.result.entries()) error = Math.max(error, Math.abs(there.result[i]! - x));
  tell({ kind: 'product', error, seconds: there.seconds, cpuSeconds: expected.seconds });
  const words = input('words', ['N'], 'float16');
  const float16 = await device
    .compile({ name: 'float16', inputs: { words }, outputs: { y: widened(words) } })
    .then((executable) => executable.run({ words: halves(Uint16Array.of(0x3c00, 0x4000), [2]) }))
    .then(({ y }) => y!.data[0] === 1 && y!.data[1] === 2)
    .catch(() => false);
  tell({ kind: 'float16', computes: float16 });
  tell({ kind: 'largest tensor', bytes: await largestTensor(device) });
}

/** Of halves of the largest size that is tried; then, as limits are often just below one of them, of eighths above it. */
async function largestTensor(device: Device): Promise<number> {
  let bytes = LARGE_BYTES;
  while (bytes >= SMALL_BYTES && !(await hasRoom(device, bytes))) bytes /= 2;
  if (bytes < SMALL_BYTES || bytes === LARGE_BYTES) return bytes;
  let above = bytes;
  for (let step = bytes / 2; step >= bytes / 8; step /= 2) if (await hasRoom(device, above + step)) above += step;
  return above;
}

probe()
  .catch((error: unknown) => tell({ kind: 'failed', message: messageOf(error) }))
  .finally(() => process.disconnect?.());
