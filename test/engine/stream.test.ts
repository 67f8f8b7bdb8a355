/** Weights that stay on disk give the same numbers as weights in memory. */
import { describe, expect, test } from 'vitest';
import { tdrProbe } from '../../src/attention/probe.ts';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { createGenerator } from '../../src/engine/generation.ts';
import { createModel } from '../../src/engine/model.ts';
import { streamParameters } from '../../src/engine/parameters.ts';
import { readConfig } from '../../src/models/registry.ts';
import { gatherRows, zeros } from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { type GoldenCheckpoint, goldenCheckpoints } from '../helpers/golden.ts';
import { groupOf, loadModel, readCases } from '../helpers/golden_values.ts';

/** The same model, loaded and streamed, and a prompt without images. */
async function open(checkpoint: GoldenCheckpoint) {
  const golden = readCases(checkpoint).find(({ image_grid_thw }) => image_grid_thw === null)!;
  const source = openCheckpoint(checkpoint.model);
  const options = { attnImpl: 'sdpa' as const, gradientCheckpointing: false };
  const streamed = createModel(await readConfig(checkpoint.model), await streamParameters(source), options);
  return { group: groupOf(golden, []), loaded: await loadModel(checkpoint, options), streamed, source };
}

test.each(goldenCheckpoints())('streamed weights score as loaded ones: $name', async (checkpoint) => {
  const { group, loaded, streamed, source } = await open(checkpoint);
  const score = async (model: typeof loaded) =>
    (await model.score([group], { temperature: 1, keep: false })).completions[0]![0]!.logps;
  expect([...(await score(streamed))]).toEqual([...(await score(loaded))]);
  expect([...(await score(streamed))]).toEqual([...(await score(loaded))]);
  source.close();
  await Promise.all([loaded.release(), streamed.release()]);
});

/** Completions end here and there, so that room is given back on the way. */
const STOPS = Array.from({ length: 60 }, (_, i) => 15 * i);

describe.each(goldenCheckpoints())(
  'however layers are cut into runs, and wherever weights are: $name',
  (checkpoint) => {
    test.each([
      ['few rows', 3, 64],
      ['rows for which a weight without a copy is on the right', 40, 16],
      ['rows that become few enough for weights in blocks', 136, 10],
    ])('decoding records and measures the same, %s', async (_, count, maxNewTokens) => {
      const { group, loaded, streamed, source } = await open(checkpoint);
      const results = [];
      for (const [model, limits] of [
        [loaded, undefined],
        [loaded, { runBytes: 1, copyBytes: 2 ** 40 }], // layer by layer, weights in blocks
        [loaded, { runBytes: 2 ** 40, copyBytes: 0 }], // in one run, without copies
        [streamed, undefined], // layer by layer, without copies
      ] as const) {
        const generator = createGenerator(model, {}, limits);
        const { numHiddenLayers } = model.sizes.text;
        const probe = tdrProbe(
          [{ promptIds: group.promptIds, systemPrefix: 2 }],
          [group.promptIds[5]!],
          numHiddenLayers,
        );
        const random = createRandom(5);
        const options = { count, maxNewTokens, temperature: 1, stopIds: STOPS, bannedIds: [], random };
        const { generated, scored } = await generator.generateAndScore([group], options, probe);
        const { layers, order } = scored.tape!.decoder;
        const kept = layers.flatMap(({ x, o, products }) =>
          [x, o, products!.q, products!.gate].map((tensor) =>
            gatherRows(tensor, order!, zeros(order!.length, tensor.dims[1]!)),
          ),
        );
        const measured = await generator.generateAndMeasure([group], options, probe);
        expect(measured.generated).toEqual(generated);
        expect(measured.completions).toEqual(scored.completions);
        const masses = scored.completions[0]!.map((completion) =>
          [...completion.masses.values()].map((row) => [...row]),
        );
        results.push({ ids: generated[0]!.map(({ ids }) => [...ids]), masses, kept: kept.map(({ data }) => data) });
        await generator.release();
      }
      const [inOneRun, ...others] = results as [(typeof results)[0], ...typeof results];
      expect(inOneRun.kept.every((tensor) => tensor.some((x) => x !== 0))).toBe(true);
      expect(new Set(inOneRun.ids.map(({ length }) => length)).size).toBeGreaterThan(1);
      for (const other of others) {
        expect(other.ids).toEqual(inOneRun.ids);
        for (const [i, tensor] of inOneRun.kept.entries())
          expect(largestDifference(other.kept[i]!, tensor)).toBeLessThan(1e-4);
        for (const [c, ofLayers] of inOneRun.masses.entries())
          for (const [i, row] of ofLayers.entries())
            expect(largestDifference(other.masses[c]![i]!, row)).toBeLessThan(1e-6);
      }
      source.close();
      await Promise.all([loaded.release(), streamed.release()]);
    });
  },
);
