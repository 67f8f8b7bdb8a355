/**
 * What crosses between the process and the device in a step: the rows of layers stay there, and so does what they are made of.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createGenerator } from '../../src/engine/generation.ts';
import type { Device } from '../../src/runtime/device.ts';
import { openWebgpu } from '../../src/runtime/webgpu.ts';
import { createRandom } from '../../src/util/random.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { type GoldenGrpo, goldenGroups, loadModel, readJson } from '../helpers/golden_values.ts';

/** Graphs whose inputs and outputs are rows and weights alone. */
const ROWS_ALONE = [/^text attention (in|out)put/, /^vision attention (in|out)put/, /^merger/];
const [COUNT, TOKENS] = [3, 8];
const FLOAT = Float32Array.BYTES_PER_ELEMENT;

test('rows of layers stay on the device; of a sampled token its id and scores come back', async () => {
  const checkpoint = goldenCheckpoints().find(({ name }) => name === 'nested_tied')!;
  const grpo = readJson<GoldenGrpo>(join(checkpoint.golden, 'grpo.json'));
  const prompts = (await goldenGroups(checkpoint, grpo)).slice(0, 1).map(({ prompt }) => prompt);
  const { device, crossed } = watched(await openWebgpu());
  const model = await loadModel(checkpoint, { device });
  const generator = createGenerator(model);
  const sampling = { count: COUNT, maxNewTokens: TOKENS, temperature: 1, stopIds: [], bannedIds: [], keep: true };
  const step = async () => {
    const { tape, groups } = await generator.generate(prompts, { ...sampling, random: createRandom(1) });
    const rollout = { ...device.traffic };
    await model.backward(tape!, new Float32Array(groups.length * COUNT * TOKENS).fill(0.1));
    return rollout;
  };
  await step(); // copies the weights
  crossed.clear();
  const before = { ...device.traffic };
  const rollout = await step();

  const seen = [...crossed.keys()];
  for (const graph of ROWS_ALONE) {
    const of = seen.filter((name) => graph.test(name));
    expect(of, String(graph)).not.toEqual([]);
    for (const name of of) expect(crossed.get(name), name).toBe(0);
  }
  const { images } = prompts[0]!;
  const { vision } = model.modelConfig;
  const patches = images.reduce((sum, { gridThw: [t, h, w] }) => sum + t * h * w, 0);
  const visual = FLOAT * (patches / vision.spatialMergeSize ** 2) * vision.outHiddenSize;
  const draws = FLOAT * 3 * COUNT * TOKENS;
  expect(rollout.fromDevice - before.fromDevice).toBe(visual + draws);
  expect(device.traffic.fromDevice - rollout.fromDevice).toBe(visual); // cotangents of the visual tokens
  // Pixels for the tower and once more for its backward; all else is numbers of rows, positions and angles.
  const pixels = images.reduce((sum, { pixelValues }) => sum + pixelValues.byteLength, 0);
  expect(device.traffic.toDevice - before.toDevice).toBeLessThan(2 * pixels + 2 ** 18);
  await Promise.all([generator.release(), model.release()]);
});

/** Counts the bytes that the runs of each graph move, by its name. */
function watched(device: Device): { device: Device; crossed: Map<string, number> } {
  const crossed = new Map<string, number>();
  const total = (): number => device.traffic.toDevice + device.traffic.fromDevice;
  const compile: Device['compile'] = async (graph) => {
    const executable = await device.compile(graph);
    const run: typeof executable.run = async (...given) => {
      const before = total();
      const results = await executable.run(...given);
      crossed.set(graph.name, (crossed.get(graph.name) ?? 0) + total() - before);
      return results;
    };
    return { ...executable, run };
  };
  return { device: { ...device, compile }, crossed };
}
