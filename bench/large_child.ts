/**
 * One GRPO step of LoRA on a large checkpoint, part by part, in a process of its own: its peak of memory is the step's.
 * Arguments: the checkpoint, how frozen weights are kept (4, 8 or bf16), and a file of numbers to compare with (quantisation.ts).
 * Prints one JSON object (LargeReport).
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { massProbe } from '../src/attention/probe.ts';
import { createGenerator } from '../src/engine/generation.ts';
import { mapCompletions } from '../src/engine/groups.ts';
import { headName } from '../src/engine/heads.ts';
import { bytesOf } from '../src/engine/parameters.ts';
import { patchesOf } from '../src/engine/vision_inputs.ts';
import { groupAdvantages } from '../src/grpo/advantages.ts';
import { countStep, grpoLoss } from '../src/grpo/loss.ts';
import { logpsOf } from '../src/grpo/rollout.ts';
import { loadPlugins } from '../src/rewards/plugin.ts';
import { createRewards } from '../src/rewards/registry.ts';
import { judge } from '../src/train/judge.ts';
import { openPolicy } from '../src/train/policy.ts';
import { stopsAndBans } from '../src/train/sampling.ts';
import { adapterOptions } from '../src/train/tuner.ts';
import { createUpdater } from '../src/train/update.ts';
import { createRandom } from '../src/util/random.ts';
import { forwardFlop, linearShapes, prefillFlop, recomputedFlop, rowsOf, visionFlop, visionPairs } from './flops.ts';
import type { LargeForm, LargeReport, MachineRates } from './large.ts';
import { comparedWith, numbersOf } from './quantisation.ts';
import { currentLoad } from './report.ts';
import { timed } from './statistics.ts';
import {
  COMPLETIONS,
  gridOf,
  LOSS,
  PLUGIN,
  syntheticPrompt,
  TEXT_TOKENS,
  TOKENS,
  trivialReward,
  UPDATES,
} from './steps.ts';

const [model, form, numbers] = process.argv.slice(2) as [string, LargeForm, string];
/** With 62 tokens of text, a prompt of 318 tokens. */
const VISUAL_TOKENS = 256;

const note = (line: string): void => {
  process.stderr.write(`${line}\n`);
};
/** VmHWM or VmRSS of this process. */
const memory = (which: 'VmHWM' | 'VmRSS'): number =>
  1024 * Number(new RegExp(`${which}:\\s+(\\d+) kB`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);

const loads = [currentLoad()];
const machine = fork(fileURLToPath(new URL('./large_rates.js', import.meta.url)));
const lora = {
  tunerType: 'lora',
  loraRank: 8,
  loraAlpha: 32,
  loraDropout: 0,
  useRslora: false,
  initWeights: 'true',
  targetModules: ['all-linear'],
  targetRegex: null,
  modulesToSave: [],
  freezeLlm: false,
  freezeVit: true,
  freezeAligner: true,
  model,
  adapters: [],
  refAdapters: [],
  seed: 0,
} as const;
const opened = await timed(() =>
  openPolicy({
    model,
    attnImpl: 'sdpa',
    trainable: true,
    adapter: adapterOptions(lora),
    frozen: { quantBits: form === 'bf16' ? null : form === '4' ? 4 : 8, weightsMemory: null },
  }),
);
const policy = opened.result;
const loaded = memory('VmRSS');
note(`read in ${(opened.ms / 1e3).toFixed(1)} s, ${(loaded / 2 ** 30).toFixed(2)} GiB`);
await loadPlugins([PLUGIN]);
const rewards = [trivialReward, ...createRewards(['ddapo_attention'])];
const { modelConfig, parameters, template } = policy;
const { text, vision } = modelConfig;
const generator = createGenerator(policy.model);
const updater = await createUpdater(parameters, UPDATES);
const random = createRandom(0);

const untrained = await numbersOf(policy, syntheticPrompt(VISUAL_TOKENS, policy, random.fork('numbers'), 'numbers'), {
  count: COMPLETIONS,
  length: TOKENS,
  random: random.fork('completions'),
});
const quantisation = comparedWith(numbers, untrained);

/** What the machine reaches now, in products of as many rows as a step has and in streaming. */
async function ratesNow(): Promise<MachineRates> {
  machine.send(rowsOf({ prompt: TEXT_TOKENS + 2 + VISUAL_TOKENS, completions: COMPLETIONS, tokens: TOKENS }));
  const [rates] = (await once(machine, 'message')) as [MachineRates];
  note(`    SGEMM ${(rates.sgemm / 1e6).toFixed(0)} GFLOP/s, stream ${(rates.stream / 1e6).toFixed(1)} GB/s`);
  return rates;
}

/** A step whose completions have so many tokens. */
async function step(tokens: number, label: string) {
  // The speed of a machine drifts, so every part has the rates before it and after it.
  const rates = [await ratesNow()];
  const prompt = syntheticPrompt(VISUAL_TOKENS, policy, random.fork(label), label);
  const probe = massProbe([prompt], [modelConfig.imageTokenId, modelConfig.videoTokenId], text.numHiddenLayers);
  await parameters.zeroGradients();
  const encoded = await timed(() => policy.model.images.encode(prompt.images, false));
  note(`  vision ${encoded.ms.toFixed(0)} ms`);
  rates.push(await ratesNow());
  const times: number[] = [];
  const start = performance.now();
  const sampled = await generator.generate([prompt], {
    count: COMPLETIONS,
    maxNewTokens: tokens,
    temperature: 1,
    stopIds: [],
    bannedIds: stopsAndBans(policy, []).bannedIds,
    random: random.fork(label),
    onTokens: () => times.push(performance.now()),
  });
  const [prefill, decode] = [times[0]! - start, times.at(-1)! - times[0]!];
  note(`  prefill ${prefill.toFixed(0)} ms, decode ${decode.toFixed(0)} ms`);
  rates.push(await ratesNow());
  const groups = mapCompletions(sampled.groups, ({ finished, ...completion }) => ({
    ...completion,
    text: template.decode(completion.ids, { skipSpecialTokens: true }),
    truncated: !finished,
  }));
  const forward = await timed(() => policy.model.score(groups, { temperature: 1, keep: true, probe }));
  note(`  forward ${forward.ms.toFixed(0)} ms`);
  rates.push(await ratesNow());
  const scored = forward.result;
  const reward = await timed(async () => {
    const logger = { debug: note, info: note, warn: note };
    const judging = {
      rewards,
      model: policy.model,
      attnProbe: 'fused',
      normBbox: 'none',
      logger,
      step: 0,
      maxSteps: 1,
    } as const;
    const { totals } = await judge(scored.groups, judging);
    const { advantages } = groupAdvantages(totals, COMPLETIONS, { scaleRewards: 'group' });
    const logps = logpsOf(scored);
    const counts = countStep([logps.map(({ length }) => length)]);
    const { dLogps } = grpoLoss({ logps, oldLogps: null, refLogps: null, advantages }, LOSS, counts);
    return Float32Array.from(dLogps.flatMap((row) => [...row]));
  });
  const backward = await timed(() => policy.model.backward(scored.tape!, reward.result));
  note(`  backward ${backward.ms.toFixed(0)} ms`);
  rates.push(await ratesNow());
  const optimiser = await timed(() => updater.update());
  const differences = logpsOf(scored).flatMap((row, i) =>
    [...row].map((logp, t) => logp - groups[0]!.completions[i]!.logps[t]!),
  );
  const [vision, generation, forwards, backwards] = rates.slice(1).map((after, i) => meanOf(rates[i]!, after));
  return {
    promptTokens: prompt.ids.length,
    rates: { vision: vision!, prefill: generation!, decode: generation!, forward: forwards!, backward: backwards! },
    parts: {
      vision: encoded.ms,
      prefill,
      decode,
      forward: forward.ms,
      reward: reward.ms,
      backward: backward.ms,
      optimiser: optimiser.ms,
    },
    decodeSteps: times.length - 1,
    sampling: {
      largest: differences.reduce((most, each) => Math.max(most, Math.abs(each)), 0),
      rms: Math.sqrt(differences.reduce((sum, each) => sum + each ** 2, 0) / differences.length),
    },
  };
}

note('warm-up');
await step(3, 'warm-up');
loads.push(currentLoad());
note('step');
const measured = await step(TOKENS, 'step');
loads.push(currentLoad());
const sizes = { prompt: measured.promptTokens, completions: COMPLETIONS, tokens: TOKENS };
const grid = gridOf(VISUAL_TOKENS, policy);
const forwardWork = forwardFlop(text, sizes);
const layers = Array.from({ length: text.numHiddenLayers }, (_, layer) =>
  linearShapes(text).map(({ name }) => `model.layers.${layer}.${name}.weight`),
).flat();
const keepsAll = policy.model.productRoom === 0;
const report: LargeReport = {
  ...{ form, loaded, load: loads, read: opened.ms, ...measured, quantisation },
  decodeBytes: bytesOf(parameters, [...layers, headName(text)('head.weight'), ...parameters.trained]),
  flop: {
    vision: visionFlop(vision, patchesOf(grid), visionPairs(modelConfig, grid)),
    prefill: prefillFlop(text, measured.promptTokens),
    forward: forwardWork,
    // Frozen weights have no gradients: a product by activations for each of the forward, and what is computed again.
    backward: forwardWork + recomputedFlop(text, sizes, { gradientCheckpointing: !keepsAll, recorded: false }),
  },
  peak: memory('VmHWM'),
};
console.log(JSON.stringify(report));
await Promise.all([generator.release(), updater.release()]);
await policy.close();
machine.disconnect();

// --- internal ---

function meanOf(a: MachineRates, b: MachineRates): MachineRates {
  return { sgemm: (a.sgemm + b.sgemm) / 2, stream: (a.stream + b.stream) / 2 };
}
