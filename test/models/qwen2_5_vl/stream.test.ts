/** Weights that stay on disk give the same numbers as weights in memory. */
import { expect, test } from 'vitest';
import { openCheckpoint } from '../../../src/checkpoint/open.ts';
import { readConfig } from '../../../src/models/qwen2_5_vl/config.ts';
import { createModel } from '../../../src/models/qwen2_5_vl/model.ts';
import { streamParameters } from '../../../src/models/qwen2_5_vl/parameters.ts';
import { goldenCheckpoints } from '../../helpers/golden.ts';
import { groupOf, loadModel, readCases } from '../../helpers/golden_values.ts';

test.each(goldenCheckpoints())('streamed weights score as loaded ones: $name', async (checkpoint) => {
  const golden = readCases(checkpoint).find(({ image_grid_thw }) => image_grid_thw === null)!;
  const group = groupOf(golden, []);
  const loaded = await loadModel(checkpoint);
  const source = openCheckpoint(checkpoint.model);
  const options = { attnImpl: 'sdpa' as const, gradientCheckpointing: true };
  const streamed = createModel(await readConfig(checkpoint.model), await streamParameters(source), options);
  const score = async (model: typeof loaded) =>
    (await model.score([group], { temperature: 1, keep: false })).completions[0]![0]!.logps;
  expect([...(await score(streamed))]).toEqual([...(await score(loaded))]);
  expect([...(await score(streamed))]).toEqual([...(await score(loaded))]);
  source.close();
  await Promise.all([loaded.release(), streamed.release()]);
});
