/**
 * `sightline devices` on a machine without a graphics processor, which any machine is to a process that finds no driver.
 */
import { Writable } from 'node:stream';
import { afterEach, expect, test, vi } from 'vitest';
import { devices } from '../../src/cli/devices.ts';
import type { Io } from '../../src/cli/io.ts';

afterEach(() => vi.unstubAllEnvs());

async function run(...words: string[]): Promise<string> {
  for (const name of ['VK_ICD_FILENAMES', 'VK_DRIVER_FILES']) vi.stubEnv(name, '/nothing/here.json');
  let text = '';
  const stdout = new Writable({
    write(chunk, _, done) {
      text += chunk;
      done();
    },
  });
  await devices(words, { env: {}, stdout, stderr: stdout, signal: new AbortController().signal } as unknown as Io);
  return text;
}

// Only Vulkan can be hidden from a process.
test.runIf(process.platform === 'linux')('says what is missing and what to do', async () => {
  const text = await run();
  expect(text).toMatch(/^cpu: .*, \d+ threads\n/);
  expect(text).toMatch(/\nwebgpu: none\n {2}does not work: there is no (Vulkan|graphics processor)/);
  expect(text).toMatch(/\n {2}fix: install .*--device cpu\n$/);
});

test.runIf(process.platform === 'linux')('the same as JSON, with null for what is unknown', async () => {
  const [cpu, graphics] = JSON.parse(await run('--json'));
  expect(cpu).toMatchObject({ device: 'cpu', works: true, problem: null });
  expect(graphics).toMatchObject({
    device: 'webgpu',
    name: null,
    works: false,
    largest_tensor_bytes: null,
    float16: null,
  });
  expect(graphics.fix).toMatch(/^install /);
});
