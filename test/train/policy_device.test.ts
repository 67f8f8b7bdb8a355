/**
 * What a policy refuses on a device with memory of its own.
 */
import { expect, test } from 'vitest';
import { cpu } from '../../src/runtime/cpu.ts';
import type { Device } from '../../src/runtime/device.ts';
import { preparePolicy } from '../../src/train/policy.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';

const far: Device = { ...cpu, name: 'webgpu', sharesMemory: false };

test('frozen weights that are not float32 are refused before any is read, with the next step', async () => {
  const { model, golden } = goldenCheckpoints().find(({ name }) => name === 'nested_tied')!;
  const options = {
    ...({ model, attnImpl: 'sdpa', trainable: true, adapter: { dir: `${golden}/lora` } } as const),
    frozen: { quantBits: 4, weightsMemory: null } as const,
  };
  await expect(preparePolicy({ ...options, device: far })).rejects.toMatchObject({
    code: 'E_DEVICE',
    message: '--device webgpu cannot run on weights of 16, 8 or 4 bits yet',
    hint: expect.stringContaining('use --device cpu'),
  });
  const prepared = await preparePolicy({ ...options, device: cpu });
  expect(prepared.heldBytes).toBeGreaterThan(0);
  await prepared.close();
});
