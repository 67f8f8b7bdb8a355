/** Parameters without weights have the sizes and forms of those that are read. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Checkpoint, openCheckpoint } from '../../src/checkpoint/open.ts';
import { holdParameters } from '../../src/engine/held_parameters.ts';
import { bytesOf, loadParameters } from '../../src/engine/parameters.ts';
import { sizedParameters } from '../../src/engine/sized_parameters.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';

let checkpoint: Checkpoint;
beforeAll(() => {
  checkpoint = openCheckpoint(goldenCheckpoints().find(({ name }) => name === 'qwen2_vl')!.model);
});
afterAll(() => checkpoint.close());

test('in float32, with what is trained', async () => {
  const isTrained = (name: string): boolean => name.includes('layers.1.');
  const sized = await sizedParameters(checkpoint.tensors, isTrained, { form: { kind: 'float32' }, device: cpu });
  const read = await loadParameters(checkpoint, isTrained);
  expect(sized.names.toSorted()).toEqual(read.names.toSorted());
  expect(sized.trained.toSorted()).toEqual(read.trained.toSorted());
  for (const name of read.names) expect(sized.value(name).dims).toEqual(read.value(name).dims);
  const joint = 'model.layers.0.self_attn.qkv_proj.weight';
  expect(sized.value(joint).dims).toEqual(read.value(joint).dims);
});

test.each([null, 8, 4] as const)('held in %s bits: each tensor takes as many bytes', async (bits) => {
  const form = { kind: 'held', bits } as const;
  const sized = await sizedParameters(checkpoint.tensors, () => false, { form, device: cpu });
  const read = await holdParameters(checkpoint, { bits });
  expect(sized.inMemory).toBe(read.inMemory);
  for (const name of [...read.names, 'model.layers.1.self_attn.qkv_proj.weight']) {
    const [own, others] = [sized.stored!(name), read.stored!(name)];
    expect([name, own?.kind, own?.dims]).toEqual([name, others?.kind, others?.dims]);
    expect([name, bytesOf(sized, [name])]).toEqual([name, bytesOf(read, [name])]);
  }
});
