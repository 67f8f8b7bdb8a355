/**
 * Times the head at the sizes of the 3B model, on made-up weights: sampling, scoring, and scoring's gradient.
 * Prints one JSON object (HeadReport). Runs in a separate process, because the weights take 1.2 GB and their gradient as much.
 */

import { headName } from '../src/engine/heads.ts';
import { parametersOf } from '../src/engine/parameters.ts';
import { samplingHead } from '../src/engine/sampling.ts';
import { createScoringHead } from '../src/engine/scoring.ts';
import { createWorkingMemory } from '../src/engine/working_memory.ts';
import { input } from '../src/graph/value.ts';
import { MODEL_PRESETS } from '../src/models/qwen2_5_vl/presets.ts';
import { linearFewRows } from '../src/nn/linear.ts';
import { compileModule } from '../src/runtime/compiled_module.ts';
import { cpu } from '../src/runtime/cpu.ts';
import { here } from '../src/runtime/device.ts';
import { type FloatTensor, floats, zeros } from '../src/runtime/tensor.ts';
import { createRandom } from '../src/util/random.ts';
import { type HeadPart, type HeadReport, SAMPLED_ROWS, SCORED_ROWS } from './head.ts';
import { watchRss } from './rss.ts';
import { median, timed } from './statistics.ts';

const repetitions = Number(process.argv[2]);
const { hiddenSize: h, vocabSize } = MODEL_PRESETS['qwen2.5-vl-3b'];
const text = { hiddenSize: h, vocabSize, rmsNormEps: 1e-6, tieWordEmbeddings: true };
const nameOf = headName(text);
const head = noise(0.02, vocabSize, h);
const norm = floats(new Float32Array(h).fill(1), [h]);
const inverseTemperature = floats(Float32Array.of(1), []);

const report: HeadReport = {
  sampling: await sampling(1),
  nucleus: await sampling(0.9),
  product: await product(),
  ...(await scoring()),
};
console.log(JSON.stringify(report));

// --- internal ---

async function sampling(topP: number): Promise<HeadPart> {
  const rule = { greedy: false, topK: 0, topP };
  const sampler = compileModule(samplingHead(text, rule, 'left'));
  const random = createRandom(1);
  const feeds = {
    'norm.weight': norm,
    head,
    hidden: noise(1, SAMPLED_ROWS, h),
    banned: zeros(vocabSize),
    uniform: floats(
      Float32Array.from({ length: SAMPLED_ROWS }, () => random.next()),
      [SAMPLED_ROWS],
    ),
    inverseTemperature,
  };
  return measure(4 * repetitions, () => sampler.forward(feeds));
}

/** The matrix product of sampling, alone. */
async function product(): Promise<HeadPart> {
  const [x, w] = [input('x', ['N', h]), input('w', [vocabSize, h])];
  const executable = await cpu.compile({
    name: 'product',
    inputs: { x, w },
    outputs: { y: linearFewRows(x, { weight: w }) },
  });
  const feeds = { x: noise(1, SAMPLED_ROWS, h), w: head };
  const y = zeros(SAMPLED_ROWS, vocabSize);
  return measure(4 * repetitions, () => executable.run(feeds, { y }));
}

async function scoring(): Promise<Pick<HeadReport, 'forward' | 'backward'>> {
  const values = new Map([
    [nameOf('head.weight'), head],
    [nameOf('norm.weight'), norm],
  ]);
  const parameters = await parametersOf(values, () => true);
  for (const name of parameters.trained) here(parameters.gradient(name)).data.fill(0); // allocates the pages before memory is watched
  const scorer = createScoringHead(text, parameters, createWorkingMemory());
  const hidden = noise(1, SCORED_ROWS, h);
  const random = createRandom(2);
  const predictions = {
    hiddenRows: Int32Array.from({ length: SCORED_ROWS }, (_, i) => i),
    targets: Int32Array.from({ length: SCORED_ROWS }, () => random.int(vocabSize)),
  };
  const dLogps = noise(1, SCORED_ROWS).data;
  return {
    forward: await measure(repetitions, () => scorer.forward(hidden, predictions, { temperature: 1 })),
    backward: await measure(repetitions, () =>
      scorer.backward(hidden, predictions, { temperature: 1 }, { logps: dLogps }),
    ),
  };
}

/** The median time after one warm-up run, and the peak growth of the process in bytes. */
async function measure(times: number, run: () => Promise<unknown>): Promise<HeadPart> {
  const before = process.memoryUsage.rss();
  const stop = watchRss();
  await run();
  const taken: number[] = [];
  for (let i = 0; i < times; i++) taken.push((await timed(run)).ms);
  return { ms: median(taken), bytes: (await stop()) - before };
}

/** Normal numbers. A large tensor repeats a shorter sequence of them, which does not affect the kernels. */
function noise(scale: number, ...dims: number[]): FloatTensor {
  const tensor = zeros(...dims);
  const { data } = tensor;
  const random = createRandom(0);
  const stretch = Math.min(data.length, 1_000_003);
  for (let i = 0; i < stretch; i++) data[i] = scale * random.normal();
  for (let filled = stretch; filled < data.length; filled *= 2) data.copyWithin(filled, 0, filled);
  return tensor;
}
