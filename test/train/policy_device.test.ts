/**
 * How a policy keeps frozen weights on a device with memory of its own, and what it tells of it.
 */
import { describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { heldBytes } from '../../src/engine/held_parameters.ts';
import { EMBEDDING } from '../../src/models/names.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import type { Device } from '../../src/runtime/device.ts';
import { sizeOf } from '../../src/runtime/tensor.ts';
import { openPolicy, type PolicyOptions, preparePolicy } from '../../src/train/policy.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';

/** The CPU's kernels behind the interface of such a device. */
const far = (float16: boolean): Device => ({
  ...cpu,
  name: 'webgpu',
  sharesMemory: false,
  kernels: { ...cpu.kernels, float16 },
  channelBlock: async () => null,
});

const { model, golden } = goldenCheckpoints().find(({ name }) => name === 'qwen2_vl')!;
const source = openCheckpoint(model);
const embedding = source.tensors.get(EMBEDDING)!;
/** In 16 bits they fit, in float32 they do not. */
const justHeld = heldBytes(source.tensors, null);
source.close();
const opened = (device: Device, quantBits: 4 | 8 | null) =>
  openPolicy({
    ...({ model, attnImpl: 'sdpa', trainable: true, adapter: { dir: `${golden}/lora` } } as const),
    frozen: { quantBits, weightsMemory: quantBits === null ? justHeld : null },
    device,
  });
const LAYER = 'model.layers.0.mlp.up_proj.weight';

test('weights of 8 bits stay there as codes, and sampling rounds no activations', async () => {
  const there = await opened(far(false), 8);
  expect(there.parameters.resident!(LAYER)!.form!.kind).toBe('codes of 8 bits in blocks of 32');
  expect((await there.reference()).parameters.resident!(LAYER)).toBe(there.parameters.resident!(LAYER));
  expect(there.parameters.resident!('model.norm.weight')).toBe(null);
  expect(there.samplesRounded).toBe(false);
  expect(there.summary.notes).toEqual([]);
  const here = await opened(cpu, 8);
  expect(here.parameters.resident).toBe(undefined);
  expect(here.samplesRounded).toBe(true);
  await Promise.all([there.close(), here.close()]);
});

test('weights of 16 bits stay there as words, or in float32 with a note that names the way to halve them', async () => {
  const words = await opened(far(true), null);
  expect(words.parameters.resident!(LAYER)!.form!.kind).toBe('words of float16');
  expect(words.summary.notes).toEqual([]);
  const wide = await opened(far(false), null);
  expect(wide.parameters.resident!(LAYER)!.form).toBe(null);
  expect(wide.summary.notes).toEqual([
    expect.stringMatching(/does not compute with 16 bits.*0\.0 GiB.*float32.*--quant_bits 8/),
  ]);
  await Promise.all([words.close(), wide.close()]);
});

describe('tensors larger than the largest one of the device', () => {
  const table = 4 * sizeOf(embedding.shape);
  const small: Device = { ...far(true), largestTensor: table - 4 };
  const prepared = (device: Device, options: Partial<PolicyOptions>) =>
    preparePolicy({ model, attnImpl: 'sdpa', trainable: true, device, ...options });

  test('are refused before weights are read if they are trained, with the sizes and the next step', async () => {
    const message = new RegExp(
      `^${EMBEDDING} \\[${embedding.shape}\\] takes [\\d.]+ MiB in float32; the largest tensor of --device webgpu has [\\d.]+ MiB, and only what is not trained`,
    );
    const refusal = {
      code: 'E_DEVICE',
      message: expect.stringMatching(message),
      hint: expect.stringMatching(/--tuner_type lora.*--device cpu/),
      exitCode: 2,
    };
    await expect(prepared(small, {})).rejects.toMatchObject(refusal);
    // Those of a reference that follows the policy change as well.
    await expect(prepared(small, { trainable: false, movable: true })).rejects.toMatchObject(refusal);
  });

  test('are split if they are frozen', async () => {
    const policy = await openPolicy({
      ...({ model, attnImpl: 'sdpa', trainable: true, adapter: { dir: `${golden}/lora` } } as const),
      device: small,
    });
    expect(policy.parameters.resident!(EMBEDDING)!.form!.kind).toMatch(/^pieces of/);
    await policy.close();
  });

  test('are refused if they are matrices of layers that are not in float32', async () => {
    const device: Device = { ...far(true), largestTensor: 1024 };
    const frozen = { quantBits: 8, weightsMemory: null } as const;
    await expect(prepared(device, { adapter: { dir: `${golden}/lora` }, frozen })).rejects.toMatchObject({
      code: 'E_DEVICE',
      message: expect.stringContaining('matrices of layers are split into pieces only where they are in float32'),
    });
  });
});
