/**
 * Where the nodes of every session of a step run. ONNX Runtime computes on the CPU what the graphics processor has no kernel
 * for; the integers of a shape may be computed there, numbers may not.
 */
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openAdapter } from '../../src/adapters/read.ts';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { createGenerator, type GenerateOptions } from '../../src/engine/generation.ts';
import type { Group } from '../../src/engine/groups.ts';
import { holdParameters } from '../../src/engine/held_parameters.ts';
import { createModel, type VisionLanguageModel } from '../../src/engine/model.ts';
import { withOverlay } from '../../src/engine/overlay.ts';
import { residentOn } from '../../src/engine/resident_weights.ts';
import { type SamplingHead, samplingHead } from '../../src/engine/sampling.ts';
import { exp } from '../../src/graph/ops/elementwise.ts';
import { cumulativeShare } from '../../src/graph/ops/reduce.ts';
import { input } from '../../src/graph/value.ts';
import { EMBEDDING } from '../../src/models/names.ts';
import { readConfig } from '../../src/models/registry.ts';
import { createAdamW } from '../../src/optim/adamw.ts';
import { createSumOfSquares } from '../../src/optim/gradients.ts';
import { compileModule } from '../../src/runtime/compiled_module.ts';
import type { Device } from '../../src/runtime/device.ts';
import { floats, sizeOf, zeros } from '../../src/runtime/tensor.ts';
import { openWebgpu } from '../../src/runtime/webgpu.ts';
import { createRandom } from '../../src/util/random.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { type GoldenGrpo, goldenGroups, loadModel, readJson } from '../helpers/golden_values.ts';

interface Kernel {
  readonly node: string;
  readonly op: string;
  readonly provider: string;
  /** Its inputs and outputs. */
  readonly tensors: readonly { readonly type: string; readonly elements: number }[];
}

/** Runs on a device whose sessions write down their kernels, and reads them once all are released. */
async function kernelsOf(run: (device: Device) => Promise<void>): Promise<Kernel[]> {
  const folder = mkdtempSync(join(tmpdir(), 'sightline-placement-'));
  await run(await openWebgpu({ profile: join(folder, 'session') }));
  return readdirSync(folder).flatMap((file) => {
    const events = JSON.parse(readFileSync(join(folder, file), 'utf8')) as {
      cat: string;
      name: string;
      args: Record<string, unknown>;
    }[];
    return events
      .filter(({ cat, args }) => cat === 'Node' && args.provider !== undefined)
      .map(({ name, args }) => {
        const shapes = [args.input_type_shape, args.output_type_shape] as Record<string, readonly number[]>[][];
        const tensors = shapes
          .flat()
          .flatMap((typed) => Object.entries(typed).map(([type, dims]) => ({ type, elements: sizeOf(dims) })));
        return {
          node: name.replace(/_kernel_time$/, ''),
          op: String(args.op_name),
          provider: String(args.provider),
          tensors,
        };
      });
  });
}

/** What a node may compute on the CPU. */
const INTEGERS = ['int64', 'int32', 'bool'];
/** More than a shape has axes. */
const FEW = 8;

/** Nodes that compute on the CPU anything but a few integers. */
const strays = (kernels: readonly Kernel[]): string[] =>
  onCpu(kernels)
    .filter(({ tensors }) => tensors.some(({ type, elements }) => !INTEGERS.includes(type) || elements > FEW))
    .map(({ op, node, tensors }) => `${op} of ${tensors.map(({ type, elements }) => `${elements} ${type}`)} (${node})`);

const onCpu = (kernels: readonly Kernel[]): Kernel[] =>
  kernels.filter(({ provider }) => provider === 'CPUExecutionProvider');

/** Which operators run on the CPU, with the types of their tensors and the most elements of one. */
function listOf(kernels: readonly Kernel[]): string {
  const most = new Map<string, number>();
  for (const { op, tensors } of onCpu(kernels)) {
    const key = `${op} (${[...new Set(tensors.map(({ type }) => type))].join(', ')})`;
    most.set(key, Math.max(most.get(key) ?? 0, ...tensors.map(({ elements }) => elements)));
  }
  return [...most]
    .sort()
    .map(([key, elements]) => `${key} of ${elements}`)
    .join('; ');
}

test('the check sees a node that computes on the CPU', async () => {
  const x = input('x', ['N', 'V']);
  const kernels = await kernelsOf(async (device) => {
    const graph = await device.compile({ name: 'g', inputs: { x }, outputs: { y: cumulativeShare(exp(x)) } });
    await graph.run({ x: floats(Float32Array.of(1, 2, 3, 4), [2, 2]) });
    await graph.release();
  });
  expect(strays(kernels)).toContainEqual(expect.stringMatching(/^CumSum of .*double/));
  expect(kernels.filter(({ op }) => op === 'Exp')).toMatchObject([{ provider: 'WebGpuExecutionProvider' }]);
});

/** Scores, goes back, and samples. */
async function sampleAndLearn(model: VisionLanguageModel, groups: readonly Group[]): Promise<void> {
  const { tape, groups: scored } = await model.score(groups, { temperature: 1, keep: true });
  const tokens = scored.flatMap(({ completions }) => completions).reduce((sum, { logps }) => sum + logps.length, 0);
  await model.backward(tape!, new Float32Array(tokens).fill(0.1));
  const generator = createGenerator(model);
  const sampling: GenerateOptions = {
    count: 2,
    maxNewTokens: 6,
    temperature: 1,
    stopIds: [],
    bannedIds: [0],
    random: createRandom(3),
    keep: true,
  };
  const prompts = groups.map(({ prompt }) => prompt);
  await generator.generate(prompts, sampling);
  await generator.generate(prompts, { ...sampling, temperature: 0, keep: false });
  await generator.release();
}

describe.each(goldenCheckpoints())('$name', (checkpoint) => {
  test('every kernel of a step that computes numbers runs on the graphics processor', async ({ annotate }) => {
    const grpo = readJson<GoldenGrpo>(join(checkpoint.golden, 'grpo.json'));
    const groups = (await goldenGroups(checkpoint, grpo)).slice(0, 1);
    const kernels = await kernelsOf(async (device) => {
      const model = await loadModel(checkpoint, { device });
      await sampleAndLearn(model, groups);
      const adamw = await createAdamW({ beta1: 0.9, beta2: 0.95, epsilon: 1e-8 }, device);
      const squares = await createSumOfSquares(device);
      const half = () => device.upload(floats(new Float32Array(2 ** 15).fill(0.5), [2 ** 15]));
      const tensors = { value: await half(), grad: await half(), m: await half(), v: await half() };
      const parameter = { ...tensors, learningRate: 1e-3, weightDecay: 0 };
      const tiny = await device.upload(floats(new Float32Array(2 ** 11).fill(1e-30), [2 ** 11]));
      await squares.of([parameter.grad, tiny]);
      await adamw.update([parameter], { step: 1, gradScale: 1 });
      for (const part of [model, adamw, squares]) await part.release();
    });
    expect(kernels.length).toBeGreaterThan(100);
    expect([...new Set(strays(kernels))]).toEqual([]);
    await annotate(`on the CPU: ${listOf(kernels)}`);
  });
});

describe('drawing a token', () => {
  const ALL: SamplingHead = { greedy: false, topK: 0, topP: 1 };
  const rules: [vocabSize: number, Partial<SamplingHead>][] = [
    [600, { topK: 20, topP: 0.9, minP: 0.1 }],
    [2503, { topK: 20 }],
    [2503, { topK: 1500, topP: 0.9 }],
    [2503, { topP: 0.9, minP: 0.1, logps: true }],
    [2503, { topP: 0.9, penalises: true, bansByRow: true }],
    [151_936, { greedy: true }],
    [151_936, { topP: 0.9 }],
  ];

  test.each(rules)('of %i: %o', async (vocabSize, rule) => {
    const head = { ...ALL, ...rule };
    const [rows, h] = [3, 4];
    const random = createRandom(7);
    const numbers = (...dims: number[]) => floats(Float32Array.from({ length: sizeOf(dims) }, random.normal), dims);
    const kernels = await kernelsOf(async (device) => {
      const module = compileModule(
        samplingHead({ hiddenSize: h, vocabSize, rmsNormEps: 1e-6 }, head, 'right'),
        {},
        device,
      );
      await module.forward({
        'norm.weight': numbers(h),
        'head.weight': numbers(vocabSize, h),
        hidden: numbers(rows, h),
        banned: rule.bansByRow ? zeros(rows, vocabSize) : zeros(vocabSize),
        uniform: floats(Float32Array.of(0.1, 0.5, 0.9), [rows]),
        inverseTemperature: floats(Float32Array.of(1), []),
        ...(rule.penalises ? { penalty: floats(new Float32Array(rows * vocabSize).fill(1.1), [rows, vocabSize]) } : {}),
      });
      await module.release();
    });
    expect(kernels.length).toBeGreaterThan(10);
    expect(strays(kernels)).toEqual([]);
  });
});

test.each([4, 8] as const)(
  'so does every kernel over frozen weights of %d bits, with tables in pieces',
  async (bits) => {
    const checkpoint = goldenCheckpoints().find(({ name }) => name === 'qwen3_vl')!;
    const grpo = readJson<GoldenGrpo>(join(checkpoint.golden, 'grpo.json'));
    const groups = (await goldenGroups(checkpoint, grpo)).slice(0, 1);
    const config = await readConfig(checkpoint.model);
    const kernels = await kernelsOf(async (whole) => {
      const source = openCheckpoint(checkpoint.model);
      const device = { ...whole, largestTensor: 2 * sizeOf(source.tensors.get(EMBEDDING)!.shape) };
      const store = residentOn(await holdParameters(source, { bits, device }), device);
      source.close();
      expect(Object.keys(store.resident!(EMBEDDING)!.form!.fed)).toHaveLength(2);
      const adapter = openAdapter(join(checkpoint.golden, 'lora'), config);
      const overlay = { adapters: adapter.adapters, tensors: adapter.read() };
      const parameters = await withOverlay(store, overlay, () => true, device);
      const model = createModel(config, parameters, { attnImpl: 'sdpa', gradientCheckpointing: true, device });
      await sampleAndLearn(model, groups);
      await model.release();
    });
    const ops = new Set(kernels.map(({ op }) => op));
    for (const op of ['GatherBlockQuantized', 'MatMulNBits']) expect(ops).toContain(op);
    expect([...new Set(strays(kernels))]).toEqual([]);
  },
);
