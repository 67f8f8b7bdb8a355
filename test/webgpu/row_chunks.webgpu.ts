/** Runs that are cut because of the memory inside them give what whole runs give: scores and gradients, whole tensors. */
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { cpu } from '../../src/runtime/cpu.ts';
import type { Device } from '../../src/runtime/device.ts';
import { openWebgpu } from '../../src/runtime/webgpu.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { completionsIn, type GoldenGrpo, goldenGroups, loadModel, readJson } from '../helpers/golden_values.ts';
import { gradientsOf } from '../helpers/parameters.ts';

const limits = vi.hoisted(() => ({ bytes: 256 * 2 ** 20, rows: 256 }));
vi.mock('../../src/engine/run_limits.ts', async (importOriginal) => ({
  ...(await importOriginal<typeof import('../../src/engine/run_limits.ts')>()),
  get RUN_BYTES() {
    return limits.bytes;
  },
  get FEWEST_ROWS() {
    return limits.rows;
  },
}));

const checkpoint = goldenCheckpoints().find(({ name }) => name === 'qwen2_vl')!;

async function everything(device: Device) {
  const grpo = readJson<GoldenGrpo>(join(checkpoint.golden, 'grpo.json'));
  const model = await loadModel(checkpoint, { device });
  const { groups, tape } = await model.score(await goldenGroups(checkpoint, grpo), { temperature: 1, keep: true });
  const logps = Float32Array.from(
    completionsIn({ groups }).flatMap((group) => group.flatMap(({ logps }) => [...logps])),
  );
  await model.backward(
    tape!,
    Float32Array.from(logps, (_, i) => Math.sin(i + 1)),
  );
  const gradients = await gradientsOf(model.parameters);
  await model.release();
  return { logps, gradients };
}

test('pieces of three rows', async () => {
  const whole = await everything(cpu);
  Object.assign(limits, { bytes: 1, rows: 3 });
  const cut = await everything(await openWebgpu());
  expect(largestDifference(cut.logps, whole.logps)).toBeLessThan(1e-4);
  for (const [name, gradient] of whole.gradients) {
    const largest = gradient.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    expect(largestDifference(cut.gradients.get(name)!, gradient) / largest, name).toBeLessThan(1e-3);
  }
});
