/**
 * Frozen weights held in 16 bits give what float32 gives, to the last bit in scores and gradients. Quantised ones give what their
 * codes stand for, and the error against the unquantised model is printed.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openAdapter } from '../../src/adapters/read.ts';
import { massProbe, tdrOfScored } from '../../src/attention/probe.ts';
import { isTdr, tdrSpans } from '../../src/attention/tdr.ts';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { QUANT_BLOCK, type QuantisedWeight } from '../../src/checkpoint/quantised.ts';
import { createGenerator } from '../../src/engine/generation.ts';
import { holdParameters } from '../../src/engine/held_parameters.ts';
import { createModel } from '../../src/engine/model.ts';
import { withOverlay } from '../../src/engine/overlay.ts';
import { loadParameters, type Parameters, parametersOf } from '../../src/engine/parameters.ts';
import { readConfig } from '../../src/models/registry.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { here } from '../../src/runtime/device.ts';
import { floats } from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { completionsIn, goldenImages, groupOf, promptOf, readCases, readTensors } from '../helpers/golden_values.ts';
import { gradientsOf } from '../helpers/parameters.ts';

/** The bfloat16 checkpoints with an adapter. */
const checkpoints = goldenCheckpoints().filter(({ name }) => ['qwen2_vl', 'qwen3_vl'].includes(name));

/** Log-probabilities, gradients of an adapter, and sampled tokens with the log-probabilities that sampling gives them. */
async function resultsOn(
  checkpoint: (typeof checkpoints)[number],
  storeOf: () => Promise<Parameters>,
  isTrained: (name: string) => boolean = () => true,
  onBackward: () => void = () => undefined,
) {
  const config = await readConfig(checkpoint.model);
  const adapter = openAdapter(join(checkpoint.golden, 'lora'), config);
  const overlay = { adapters: adapter.adapters, tensors: adapter.read() };
  const parameters = await withOverlay(await storeOf(), overlay, isTrained);
  const model = createModel(config, parameters, { attnImpl: 'sdpa', gradientCheckpointing: true });
  const golden = readCases(checkpoint).find(({ name }) => name === 'two_images')!;
  const pixels = readTensors(join(checkpoint.golden, 'tensors.safetensors')).get('two_images.pixel_values')!;
  const images = goldenImages(golden, pixels);
  const group = groupOf(golden, images);
  const visualIds = [config.imageTokenId, config.videoTokenId];
  const probe = massProbe([{ ids: group.prompt.ids, systemPrefix: 0 }], visualIds, config.text.numHiddenLayers);
  const scored = await model.score([group], { temperature: 1, keep: true, probe });
  const ratio = tdrOfScored(completionsIn(scored)[0]![0]!, tdrSpans(group.prompt.ids, 0, 0, visualIds));
  if (!isTdr(ratio)) throw new Error(ratio.undefined);
  const logps = completionsIn(scored)[0]![0]!.logps.slice();
  onBackward();
  await model.backward(
    scored.tape!,
    Float32Array.from(logps, (_, t) => t - 3),
  );
  const gradients = await gradientsOf(parameters);
  const generator = createGenerator(model);
  const sampling = { count: 3, maxNewTokens: 6, temperature: 1, stopIds: [], bannedIds: [] };
  const sampled = await generator.generate([promptOf(golden, images)], { ...sampling, random: createRandom(2) });
  const drawn = sampled.groups[0]!.completions;
  const again = await model.score(sampled.groups, { temperature: 1, keep: false });
  await generator.release();
  await model.release();
  return {
    logps,
    tdr: ratio.tdr,
    gradients,
    ids: drawn.map(({ ids }) => [...ids]),
    sampledLogps: Float32Array.from(drawn.flatMap(({ logps: each }) => [...each])),
    scoredLogps: Float32Array.from(completionsIn(again)[0]!.flatMap(({ logps: each }) => [...each])),
  };
}

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

/** What the codes stand for, in float64, from the definition of MatMulNBits. */
function standsFor({ bits, codes, scales, dims: [out, inner] }: QuantisedWeight): Float32Array {
  const blocks = Math.ceil(inner / QUANT_BLOCK);
  return Float32Array.from({ length: out * inner }, (_, at) => {
    const [row, column] = [Math.floor(at / inner), at % inner];
    const block = row * blocks + Math.floor(column / QUANT_BLOCK);
    const bit = (block * QUANT_BLOCK + (column % QUANT_BLOCK)) * bits;
    const code = (codes[bit >> 3]! >> (bit % 8)) & (2 ** bits - 1);
    return (code - 2 ** (bits - 1)) * scales[block]!;
  });
}

test.for(checkpoints.flatMap((checkpoint) => ([4, 8] as const).map((bits) => ({ ...checkpoint, bits }))))(
  '$name: with $bits bits the model is that of its codes',
  async ({ bits, ...checkpoint }, { annotate }) => {
    const source = openCheckpoint(checkpoint.model);
    const plain = await resultsOn(checkpoint, () => loadParameters(source, () => false));
    const own = await holdParameters(source, { bits });
    const decoded = await resultsOn(checkpoint, async () => {
      const float32 = await loadParameters(source, () => false);
      return parametersOf(
        new Map(
          float32.names.map((name) => {
            const { data, dims } = here(float32.value(name));
            const stored = own.stored!(name);
            if (stored === null) return [name, floats(data, dims)];
            if (stored.kind !== 'quantised') throw new Error('expected codes');
            const [, inner] = dims as [number, number];
            const values = standsFor(stored);
            // Every value is within its block's step, and half of it but at the end of the range.
            for (const [i, value] of values.entries()) {
              const scale =
                stored.scales[
                  Math.floor(i / inner) * Math.ceil(inner / QUANT_BLOCK) + Math.floor((i % inner) / QUANT_BLOCK)
                ]!;
              expect(Math.abs(value - data[i]!)).toBeLessThanOrEqual(Math.abs(scale) * (1 + 2 ** -20));
            }
            data.set(values);
            return [name, floats(data, dims)];
          }),
        ),
        () => false,
      );
    });
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
    (name) => name.startsWith(`model.layers.${last}.`),
    () => {
      asked = [];
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
