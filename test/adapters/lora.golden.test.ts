/**
 * Loss and every gradient of PEFT's LoRA on the golden checkpoints: adapters that PEFT wrote, gradients that PyTorch computed.
 */
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { openAdapter } from '../../src/adapters/read.ts';
import { canonicalName } from '../../src/checkpoint/names.ts';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import type { Group } from '../../src/engine/groups.ts';
import { createModel } from '../../src/engine/model.ts';
import { withOverlay } from '../../src/engine/overlay.ts';
import { loadParameters } from '../../src/engine/parameters.ts';
import { countStep, grpoLoss } from '../../src/grpo/loss.ts';
import { readConfig } from '../../src/models/registry.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import {
  completionsIn,
  type GoldenGrpo,
  goldenGroups,
  goldenLossSettings,
  readJson,
  readTensors,
} from '../helpers/golden_values.ts';
import { gradientOf } from '../helpers/parameters.ts';

describe.each(goldenCheckpoints())('$name', (checkpoint) => {
  const grpo = readJson<GoldenGrpo>(join(checkpoint.golden, 'grpo.json'));
  const dir = join(checkpoint.golden, 'lora');
  let groups: Group[] = [];
  beforeAll(async () => {
    groups = await goldenGroups(checkpoint, grpo);
  });

  test.each([true, false])('gradient checkpointing %s', async (gradientCheckpointing) => {
    const config = await readConfig(checkpoint.model);
    const adapter = openAdapter(dir, config);
    const source = openCheckpoint(checkpoint.model);
    const base = await loadParameters(source, () => false);
    source.close();
    const parameters = await withOverlay(base, { adapters: adapter.adapters, tensors: adapter.read() }, () => true);
    const model = createModel(config, parameters, { attnImpl: 'sdpa', gradientCheckpointing });
    const { tape, ...scored } = await model.score(groups, { temperature: 1, keep: true });
    const logps = completionsIn(scored)
      .flat()
      .map((completion) => completion.logps);
    const { loss, dLogps } = grpoLoss(
      {
        logps,
        oldLogps: grpo.old_per_token_logps.map((row) => Float64Array.from(row)),
        refLogps: null,
        advantages: Float64Array.from(grpo.advantages),
      },
      {
        lossType: 'grpo',
        importanceSamplingLevel: 'token',
        beta: 0,
        ...goldenLossSettings(grpo),
      },
      countStep([logps.map((row) => row.length)]),
    );
    const expectedLoss = readJson<{ loss: number }>(join(dir, 'grpo.json')).loss;
    await model.backward(tape!, Float32Array.from(dLogps.flatMap((row) => [...row])));
    const expected = readTensors(join(dir, 'gradients.safetensors'));
    let worst = 0;
    const seen: string[] = [];
    for (const [stored, { data }] of expected) {
      const name = canonicalName(stored.replace('.default.', '.'));
      seen.push(name);
      const largest = data.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
      const error = largestDifference(await gradientOf(model.parameters, name), data) / largest;
      worst = Math.max(worst, error);
      expect(error, name).toBeLessThan(1e-3);
    }
    console.log(`${checkpoint.name}: loss ${loss} expected ${expectedLoss}, gradient ${worst}`);
    expect(seen.sort()).toEqual([...parameters.trained].sort());
    expect(Math.abs(loss - expectedLoss) / (Math.abs(expectedLoss) + 0.1)).toBeLessThan(1e-5);
    await model.release();
  });
});
