/** Weights that stay on disk give the same numbers as weights in memory. */
import { describe, expect, test } from 'vitest';
import { massProbe } from '../../src/attention/probe.ts';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { createGenerator, type GenerateOptions, type Generator } from '../../src/engine/generation.ts';
import { createModel } from '../../src/engine/model.ts';
import { streamParameters } from '../../src/engine/parameters.ts';
import { readConfig } from '../../src/models/registry.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { createRowMoves } from '../../src/runtime/row_moves.ts';
import { type FloatTensor, zeros } from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { findEnds, SEEDS } from '../helpers/draws.ts';
import { type GoldenCheckpoint, goldenCheckpoints } from '../helpers/golden.ts';
import { groupOf, loadModel, promptOf, readCases } from '../helpers/golden_values.ts';

const moves = createRowMoves(cpu);

/** The same model, loaded and streamed, and a prompt without images. */
async function open(checkpoint: GoldenCheckpoint) {
  const golden = readCases(checkpoint).find(({ image_grid_thw }) => image_grid_thw === null)!;
  const source = openCheckpoint(checkpoint.model);
  const options = { attnImpl: 'sdpa' as const, gradientCheckpointing: false };
  const streamed = createModel(await readConfig(checkpoint.model), await streamParameters(source), options);
  return {
    prompt: promptOf(golden, []),
    group: groupOf(golden, []),
    loaded: await loadModel(checkpoint, options),
    streamed,
    source,
  };
}

test.each(goldenCheckpoints())('streamed weights score as loaded ones: $name', async (checkpoint) => {
  const { group, loaded, streamed, source } = await open(checkpoint);
  const score = async (model: typeof loaded) =>
    (await model.score([group], { temperature: 1, keep: false })).groups[0]!.completions[0]!.logps;
  expect([...(await score(streamed))]).toEqual([...(await score(loaded))]);
  expect([...(await score(streamed))]).toEqual([...(await score(loaded))]);
  source.close();
  await Promise.all([loaded.release(), streamed.release()]);
});

describe.each(goldenCheckpoints())(
  'however layers are cut into runs, and wherever weights are: $name',
  (checkpoint) => {
    test.each([
      ['few rows', 3, 64],
      ['rows for which a weight without a copy is on the right', 40, 16],
      ['rows that become few enough for weights in blocks', 136, 10],
    ])(
      'decoding records and measures the same, %s',
      async (_, count, maxNewTokens) => {
        const { prompt, loaded, streamed, source } = await open(checkpoint);
        const { numHiddenLayers } = loaded.modelConfig.text;
        const probe = massProbe([{ ids: prompt.ids, systemPrefix: 2 }], [prompt.ids[5]!], numHiddenLayers);
        const generators = [
          createGenerator(loaded),
          createGenerator(loaded, { runBytes: 1, copyBytes: 2 ** 40 }), // layer by layer, weights in blocks
          createGenerator(loaded, { runBytes: 2 ** 40, copyBytes: 0 }), // in one run, without copies
          createGenerator(streamed), // layer by layer, without copies
        ];
        const resultOf = async (generator: Generator, options: GenerateOptions) => {
          const scored = await generator.generate([prompt], { ...options, keep: true, probe });
          const { layers, order } = scored.tape!.decoder;
          const kept: FloatTensor[] = [];
          for (const { x, o, products } of layers)
            for (const tensor of [x, o, products!.q, products!.gate])
              kept.push(await moves.gather(tensor, order!, zeros(order!.length, tensor.dims[1]!)));
          const measured = await generator.generate([prompt], { ...options, probe });
          expect(measured).toEqual({ groups: scored.groups, tape: null });
          const masses = scored.groups[0]!.completions.map((completion) =>
            [...completion.masses.values()].map((row) => [...row]),
          );
          return {
            ids: scored.groups[0]!.completions.map(({ ids }) => [...ids]),
            masses,
            kept: kept.map(({ data }) => data),
          };
        };
        let results: Awaited<ReturnType<typeof resultOf>>[] = [];
        for (const seed of SEEDS) {
          const shared = { count, maxNewTokens, bannedIds: [], random: createRandom(seed) };
          // Completions end here and there, so that room is given back on the way.
          const ends = await findEnds(2, async (temperature) => {
            const { groups: drawn } = await generators[0]!.generate([prompt], {
              ...shared,
              temperature,
              stopIds: [],
            });
            return drawn[0]!.completions.map(({ ids }) => ids);
          });
          const options = { ...shared, ...ends };
          results = [];
          for (const generator of generators) results.push(await resultOf(generator, options));
          if (new Set(results.map(({ ids }) => JSON.stringify(ids))).size === 1) break;
        }
        const [inOneRun, ...others] = results as [(typeof results)[0], ...typeof results];
        expect(inOneRun.kept.every((tensor) => tensor.some((x) => x !== 0))).toBe(true);
        expect(new Set(inOneRun.ids.map(({ length }) => length)).size).toBeGreaterThan(1);
        for (const other of others) {
          expect(other.ids).toEqual(inOneRun.ids);
          for (const [i, tensor] of inOneRun.kept.entries()) {
            const size = tensor.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
            expect(largestDifference(other.kept[i]!, tensor) / size).toBeLessThan(1e-4);
          }
          for (const [c, ofLayers] of inOneRun.masses.entries())
            for (const [i, row] of ofLayers.entries())
              expect(largestDifference(other.masses[c]![i]!, row)).toBeLessThan(1e-5);
        }
        for (const generator of generators) await generator.release();
        source.close();
        await Promise.all([loaded.release(), streamed.release()]);
      },
      600_000,
    ); // a seed takes a minute where every thread is busy
  },
);
