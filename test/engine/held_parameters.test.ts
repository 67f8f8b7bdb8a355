/**
 * Frozen weights held in 16 bits give what float32 gives, to the last bit in scores and gradients. Quantised ones give what their
 * codes stand for, and the error against the unquantised model is printed.
 */
import { expect, test } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { QUANT_BLOCK } from '../../src/checkpoint/quantised.ts';
import { holdParameters } from '../../src/engine/held_parameters.ts';
import { loadParameters } from '../../src/engine/parameters.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { here } from '../../src/runtime/device.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { adaptedCheckpoints as checkpoints, dequantisedIn, resultsOn, standsFor } from '../helpers/held_results.ts';

test.each(checkpoints)('$name: weights held in 16 bits are those of float32', async (checkpoint) => {
  const source = openCheckpoint(checkpoint.model);
  const plain = await resultsOn(checkpoint, () => loadParameters(source, () => false));
  const held = await resultsOn(checkpoint, async () => {
    const store = await holdParameters(source, { bits: null });
    expect(store.stored!('model.layers.0.self_attn.qkv_proj.weight')!.kind).toBe('half');
    // 96 outputs of 48 numbers are whole blocks on every processor that has some, and the tower does not decode.
    expect(store.stored!('model.layers.0.mlp.gate_proj.weight')).toMatchObject({
      block: (await cpu.channelBlock()) ?? 1,
    });
    const tower = store.names.filter((name) => name.includes('.blocks.') && store.stored!(name) !== null);
    for (const name of tower) expect(store.stored!(name), name).toMatchObject({ block: 1 });
    expect(store.stored!('model.norm.weight')).toBe(null);
    return store;
  });
  source.close();
  expect(largestDifference(held.logps, plain.logps)).toBe(0);
  expect(held.tdr).toBe(plain.tdr);
  for (const [name, gradient] of plain.gradients)
    expect(largestDifference(held.gradients.get(name)!, gradient), name).toBe(0);
  expect(held.ids).toEqual(plain.ids);
  // Decoding multiplies in another order, with the same weights.
  expect(largestDifference(held.sampledLogps, plain.sampledLogps)).toBeLessThan(1e-4);
});

test.for(checkpoints.flatMap((checkpoint) => ([4, 8] as const).map((bits) => ({ ...checkpoint, bits }))))(
  '$name: with $bits bits the model is that of its codes',
  async ({ bits, ...checkpoint }, { annotate }) => {
    const source = openCheckpoint(checkpoint.model);
    const plain = await resultsOn(checkpoint, () => loadParameters(source, () => false));
    const own = await holdParameters(source, { bits });
    const float32 = await loadParameters(source, () => false);
    // Every value is within its block's step, and half of it but at the end of the range.
    for (const name of float32.names) {
      const stored = own.stored!(name);
      if (stored?.kind !== 'quantised') continue;
      const { data, dims } = here(float32.value(name));
      const [, inner] = dims as [number, number];
      const blocks = Math.ceil(inner / QUANT_BLOCK);
      for (const [i, value] of standsFor(stored).entries()) {
        const scale = stored.scales[Math.floor(i / inner) * blocks + Math.floor((i % inner) / QUANT_BLOCK)]!;
        expect(Math.abs(value - data[i]!)).toBeLessThanOrEqual(Math.abs(scale) * (1 + 2 ** -20));
      }
    }
    const decoded = await resultsOn(checkpoint, async () => dequantisedIn(float32, own));
    const held = await resultsOn(checkpoint, async () => own);
    source.close();
    expect(largestDifference(held.logps, decoded.logps)).toBe(0);
    expect(held.tdr).toBe(decoded.tdr);
    for (const [name, gradient] of decoded.gradients)
      expect(largestDifference(held.gradients.get(name)!, gradient), name).toBe(0);
    await annotate(
      `largest difference of log-probabilities: weights ${largestDifference(held.logps, plain.logps)}, sampling with activations of 8 bits ${largestDifference(held.sampledLogps, held.scoredLogps)}; text-dominance ratio ${held.tdr} for ${plain.tdr}`,
    );
  },
);

test('backward ends at the lowest layer that is trained', async () => {
  const [checkpoint] = checkpoints as [(typeof checkpoints)[number]];
  const source = openCheckpoint(checkpoint.model);
  const all = await resultsOn(checkpoint, () => loadParameters(source, () => false));
  const last = Math.max(
    ...[...all.gradients.keys()].map((name) => Number(/model\.layers\.(\d+)\./.exec(name)?.[1] ?? -1)),
  );
  expect(last).toBeGreaterThan(0);
  let asked: string[] = [];
  const some = await resultsOn(
    checkpoint,
    async () => {
      const store = await holdParameters(source, { bits: null });
      const value = (name: string) => {
        asked.push(name);
        return store.value(name);
      };
      return { ...store, value };
    },
    {
      isTrained: (name) => name.startsWith(`model.layers.${last}.`),
      onBackward: () => {
        asked = [];
      },
    },
  );
  source.close();
  for (const [name, gradient] of some.gradients)
    expect(largestDifference(gradient, all.gradients.get(name)!), name).toBe(0);
  expect(some.gradients.size).toBeGreaterThan(0);
  // Backward is the first to ask; sampling, which runs all layers, begins with layer 0 after it.
  const firstBelow = asked.findIndex((name) => name.startsWith(`model.layers.${last - 1}.`));
  const firstOfAll = asked.findIndex((name) => name.startsWith('model.layers.0.'));
  expect(asked.findIndex((name) => name.startsWith(`model.layers.${last}.`))).toBeLessThan(firstOfAll);
  expect(firstBelow).toBeGreaterThanOrEqual(firstOfAll);
});
