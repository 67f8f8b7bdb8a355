/**
 * Which device is taken for what was asked, given what was found.
 */
import { expect, test } from 'vitest';
import type { Adapter, NoAdapter } from '../../src/runtime/adapter.ts';
import { chooseDevice } from '../../src/runtime/choose.ts';

const fast: Adapter = {
  name: 'Card 3000',
  error: 1e-6,
  seconds: 0.001,
  cpuSeconds: 0.004,
  float16: true,
  largestTensor: 2 ** 31,
};
const slow: Adapter = { ...fast, name: null, seconds: 0.5 };
const none: NoAdapter = { name: null, problem: 'there is none', fix: 'buy one' };
const finding = (found: Adapter | NoAdapter) => async () => found;

test.each([
  ['webgpu', fast, 'webgpu', 'runs on Card 3000'],
  ['webgpu', slow, 'webgpu', 'runs on the graphics processor, which is slower than the CPU'],
  ['auto', fast, 'webgpu', 'runs on Card 3000'],
  ['auto', slow, 'cpu', 'the graphics processor is slower than the CPU, which is used'],
  ['auto', none, 'cpu', 'runs on the CPU: there is none'],
] as const)('%s, %o: %s', async (choice, found, name, note) => {
  const chosen = await chooseDevice(choice, { find: finding(found) });
  expect([chosen.device.name, chosen.note]).toEqual([name, note]);
});

test.each([true, false])('the device knows what was found of its adapter, with float16: %s', async (float16) => {
  const { device } = await chooseDevice('webgpu', { find: finding({ ...fast, float16 }) });
  expect(device.kernels.float16).toBe(float16);
  expect(device.largestTensor).toBe(fast.largestTensor);
});

test('the CPU is taken without looking further', async () => {
  const chosen = await chooseDevice('cpu', { find: () => Promise.reject(new Error('looked')) });
  expect([chosen.device.name, chosen.note]).toEqual(['cpu', null]);
});

test('a graphics processor that does not work is an error with the next step', async () => {
  await expect(chooseDevice('webgpu', { find: finding(none) })).rejects.toMatchObject({
    code: 'E_DEVICE',
    message: '--device webgpu does not work: there is none',
    hint: 'buy one',
    exitCode: 2,
  });
});
