/**
 * What the golden checkpoints with an adapter give over frozen weights in any form: log-probabilities, gradients, sampled tokens.
 */
import { join } from 'node:path';
import { openAdapter } from '../../src/adapters/read.ts';
import { massProbe, tdrOfScored } from '../../src/attention/probe.ts';
import { isTdr, tdrSpans } from '../../src/attention/tdr.ts';
import { QUANT_BLOCK, type QuantisedWeight } from '../../src/checkpoint/quantised.ts';
import { createGenerator } from '../../src/engine/generation.ts';
import { createModel } from '../../src/engine/model.ts';
import { withOverlay } from '../../src/engine/overlay.ts';
import { type Parameters, parametersOf } from '../../src/engine/parameters.ts';
import { readConfig } from '../../src/models/registry.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { type Device, here } from '../../src/runtime/device.ts';
import { floats } from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';
import { type GoldenCheckpoint, goldenCheckpoints } from './golden.ts';
import { completionsIn, goldenImages, groupOf, promptOf, readCases, readTensors } from './golden_values.ts';
import { gradientsOf } from './parameters.ts';

/** The bfloat16 checkpoints with an adapter. */
export const adaptedCheckpoints = goldenCheckpoints().filter(({ name }) => ['qwen2_vl', 'qwen3_vl'].includes(name));

/** Log-probabilities, gradients of an adapter, and sampled tokens with the log-probabilities that sampling gives them. */
export async function resultsOn(
  checkpoint: GoldenCheckpoint,
  storeOf: () => Promise<Parameters>,
  {
    isTrained = () => true,
    onBackward = () => undefined,
    device = cpu,
  }: { isTrained?: (name: string) => boolean; onBackward?: () => void; device?: Device } = {},
) {
  const config = await readConfig(checkpoint.model);
  const adapter = openAdapter(join(checkpoint.golden, 'lora'), config);
  const overlay = { adapters: adapter.adapters, tensors: adapter.read() };
  const parameters = await withOverlay(await storeOf(), overlay, isTrained, device);
  const model = createModel(config, parameters, { attnImpl: 'sdpa', gradientCheckpointing: true, device });
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

/** What the codes stand for, in float64, from the definition of MatMulNBits. */
export function standsFor({ bits, codes, scales, dims: [out, inner] }: QuantisedWeight): Float32Array {
  const blocks = Math.ceil(inner / QUANT_BLOCK);
  return Float32Array.from({ length: out * inner }, (_, at) => {
    const [row, column] = [Math.floor(at / inner), at % inner];
    const block = row * blocks + Math.floor(column / QUANT_BLOCK);
    const bit = (block * QUANT_BLOCK + (column % QUANT_BLOCK)) * bits;
    const code = (codes[bit >> 3]! >> (bit % 8)) & (2 ** bits - 1);
    return (code - 2 ** (bits - 1)) * scales[block]!;
  });
}

/** The model that held weights stand for, in float32. @param float32 what it takes all else from, and changes */
export async function dequantisedIn(float32: Parameters, held: Parameters): Promise<Parameters> {
  const values = float32.names.map((name) => {
    const { data, dims } = here(float32.value(name));
    const stored = held.stored!(name);
    if (stored !== null && stored.kind !== 'quantised') throw new Error('expected codes');
    if (stored !== null) data.set(standsFor(stored));
    return [name, floats(data, dims)] as const;
  });
  return parametersOf(new Map(values), () => false);
}
