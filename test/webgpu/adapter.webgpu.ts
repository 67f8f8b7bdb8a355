/**
 * Looking for an adapter: the one of this machine, none, and drivers that end the process.
 */
import { expect, test, vi } from 'vitest';
import { findAdapter, works } from '../../src/runtime/adapter.ts';

test('the adapter computes the CPU’s product, and is described', async () => {
  const found = await findAdapter();
  if (!works(found)) throw new Error(`${found.problem}; ${found.fix}`);
  if (found.name?.startsWith('SwiftShader')) expect(found).toMatchObject({ float16: false });
  expect(found.largestTensor).toBeGreaterThanOrEqual(128 * 2 ** 20);
  expect(found.seconds).toBeGreaterThan(0);
  expect(found.cpuSeconds).toBeGreaterThan(0);
});

test('without a driver, the next step is told', async () => {
  vi.stubEnv('VK_ICD_FILENAMES', '/nothing/here.json');
  vi.stubEnv('VK_DRIVER_FILES', '/nothing/here.json');
  try {
    const found = await findAdapter();
    expect(found).toMatchObject({ problem: 'there is no graphics processor that WebGPU can use' });
    expect(found).toMatchObject({ fix: expect.stringContaining('install the driver of the graphics card') });
  } finally {
    vi.unstubAllEnvs();
  }
});

test('a process that ends, or takes too long, is told as such', async () => {
  expect(await findAdapter({ timeoutMs: 1 })).toMatchObject({ problem: 'trying it took more than 0.001 s' });
});
