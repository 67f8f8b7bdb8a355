import { expect, test } from 'vitest';
import { floats } from '../../src/runtime/tensor.ts';
import { openWebgpu } from '../../src/runtime/webgpu.ts';
import { describeDevice } from '../runtime/device_contract.ts';

describeDevice('webgpu', () => openWebgpu());

test('a tensor that was released is not used again', async () => {
  const device = await openWebgpu();
  const tensor = await device.upload(floats(Float32Array.of(1, 2), [2]));
  device.release(tensor);
  await expect(device.download(tensor)).rejects.toThrow('of another device, or released');
});
