/** Messages of the library, as onnxruntime-node 1.30 gives them on a device without room. */
import { expect, test } from 'vitest';
import { formatError, SightlineError } from '../../src/errors.ts';
import { explainDeviceMemory, outOfDeviceMemory } from '../../src/runtime/out_of_memory.ts';

const asked = { what: 'a tensor [64, 2 ** 20]', bytes: 2 ** 28, held: 3 * 2 ** 31 };

test.each([
  [
    'WebGPU validation failed. [Invalid Buffer (unlabeled)] is invalid due to a previous error.\n - While validating entries[1]',
    'the memory of the graphics processor has run out: ',
  ],
  [
    'WebGPU validation failed. Buffer size (2147483648) exceeds the max buffer size limit (1073741824).\n - While calling',
    'the graphics processor takes no tensor above 1.00 GiB: ',
  ],
  [
    'WebGPU validation failed. Binding size (155582464) of [Buffer (unlabeled)] is larger than the maximum storage buffer binding size (134217728).',
    'the graphics processor takes no tensor above 0.13 GiB: ',
  ],
  ['WebGPU validation failed. [Device "x"] is lost.', 'the graphics processor was lost, as happens when '],
  ['Failed to map: WebGPU device lost (1): VK_ERROR_DEVICE_LOST', 'the graphics processor was lost, as happens when '],
])('%s', (message, begins) => {
  const cause = new Error(message);
  const error = explainDeviceMemory(cause, asked);
  if (!(error instanceof SightlineError)) throw new Error('expected an error for users');
  expect(error).toMatchObject({ code: 'E_DEVICE_MEMORY', exitCode: 1, cause });
  expect(error.message.startsWith(begins)).toBe(true);
  expect(error.message).toMatch(/: a tensor \[64, 2 \*\* 20\] \(0\.25 GiB\) was asked for, and 6\.00 GiB are held$/);
  expect(formatError(error)).toMatch(
    /--per_device_train_batch_size.*--gradient_checkpointing.*--quant_bits.*--device cpu/,
  );
});

test('other errors and errors for users stay as they are', () => {
  const other = new Error('WebGPU validation failed. Binding size is zero.');
  expect(explainDeviceMemory(other, asked)).toBe(other);
  const told = outOfDeviceMemory({ ...asked, bytes: null });
  expect(told.message).toBe(
    'the memory of the graphics processor has run out: a tensor [64, 2 ** 20] was asked for, and 6.00 GiB are held',
  );
  expect(explainDeviceMemory(told, asked)).toBe(told);
});
