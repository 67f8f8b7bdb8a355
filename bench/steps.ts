/**
 * Times the parts of one GRPO step: the calls of the training loop, on the mini model.
 * Image and prompt are synthetic; rollout, rewards, loss, backward and optimiser are those of a run.
 */
import { fileURLToPath } from 'node:url';
import { type MassProbe, massProbe } from '../src/attention/probe.ts';
import type { Row } from '../src/data/row.ts';
import { createGenerator, type GenerateOptions } from '../src/engine/generation.ts';
import { mapCompletions } from '../src/engine/groups.ts';
import { patchesOf } from '../src/engine/vision_inputs.ts';
import { groupAdvantages } from '../src/grpo/advantages.ts';
import { countStep, grpoLoss } from '../src/grpo/loss.ts';
import { logpsOf, type Rollout, type RolloutPrompt } from '../src/grpo/rollout.ts';
import { loadPlugins } from '../src/rewards/plugin.ts';
import { createRewards } from '../src/rewards/registry.ts';
import type { Reward } from '../src/rewards/reward.ts';
import { sizeOf } from '../src/runtime/tensor.ts';
import { judge } from '../src/train/judge.ts';
import { openPolicy, type Policy } from '../src/train/policy.ts';
import { stopsAndBans } from '../src/train/sampling.ts';
import { createUpdater, type UpdateOptions } from '../src/train/update.ts';
import { matricesDecay } from '../src/train/update_options.ts';
import { createRandom, type Random } from '../src/util/random.ts';
import {
  backwardFlop,
  decodeBytes,
  decodeFlop,
  forwardFlop,
  optimiserBytes,
  prefillFlop,
  recomputedFlop,
  type StepSizes,
  visionFlop,
  visionPairs,
} from './flops.ts';
import {
  isRecorded,
  keepsProducts,
  type StepSample,
  type StepWork,
  VARIANTS,
  type Variant,
  type VariantSample,
} from './goals.ts';
import { createRates } from './rates.ts';
import { timed } from './statistics.ts';

export const COMPLETIONS = 8;
export const TOKENS = 64;
/** Number of text tokens around the image, and how many of them form the system block at the start. */
export const TEXT_TOKENS = 60;
const SYSTEM_TOKENS = 10;
/** The repository's plugin, from the folder of the build. */
export const PLUGIN = fileURLToPath(new URL('../../../examples/train/grpo/plugin/plugin.ts', import.meta.url));

export interface StepBench {
  work(visualTokens: number): StepWork;
  /** One repetition: rates of the machine, then a step with every variant of its parts. */
  repeat(visualTokens: number, repetition: number): Promise<StepSample>;
  close(): Promise<void>;
}

/** How the steps of the benchmarks change weights. */
export const UPDATES: UpdateOptions = {
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0,
  decays: matricesDecay,
  maxGradNorm: 1,
  schedule: () => 1e-6,
};

/** The sizes of a step whose image has this many visual tokens. */
export const sizesOf = (visualTokens: number): StepSizes => ({
  prompt: TEXT_TOKENS + 2 + visualTokens,
  completions: COMPLETIONS,
  tokens: TOKENS,
});

export async function openStepBench(model: string, variant: Variant, say: (line: string) => void): Promise<StepBench> {
  const policy = await openPolicy({ model, attnImpl: 'sdpa', trainable: true, gradientCheckpointing: true });
  const { modelConfig, parameters, template } = policy;
  await loadPlugins([PLUGIN]);
  const plain: readonly Reward[] = [trivialReward];
  const withAttention: readonly Reward[] = [trivialReward, ...createRewards(['ddapo_attention'])];
  const rates = await createRates(modelConfig.text, parameters);
  const generator = createGenerator(policy.model);
  const updater = await createUpdater(parameters, UPDATES);
  const random = createRandom(0);
  const trainedCount = parameters.trained.reduce((sum, name) => sum + sizeOf(parameters.shape(name)), 0);
  const { bannedIds } = stopsAndBans(policy, []);
  const probeOf = (prompt: RolloutPrompt): MassProbe =>
    massProbe([prompt], [modelConfig.imageTokenId, modelConfig.videoTokenId], modelConfig.text.numHiddenLayers);

  /** Samples a group; a recorded one is scored as well. No token ends a completion early, so all have full length. */
  async function sample(prompt: RolloutPrompt, label: string, recorded: boolean, probe?: MassProbe): Promise<Sampled> {
    const times: number[] = [];
    const options: GenerateOptions = {
      count: COMPLETIONS,
      maxNewTokens: TOKENS,
      temperature: 1,
      stopIds: [],
      bannedIds,
      random: random.fork(label),
      onTokens: () => times.push(performance.now()),
    };
    const start = performance.now();
    const generated = await generator.generate([prompt], { ...options, ...(recorded ? { keep: true, probe } : {}) });
    const groups = mapCompletions(generated.groups, ({ finished, ...completion }) => ({
      ...completion,
      text: template.decode(completion.ids, { skipSpecialTokens: true }),
      truncated: !finished,
    }));
    return {
      rollout: { groups, tape: generated.tape },
      parts: {
        rollout: performance.now() - start,
        prefill: times[0]! - start,
        decode: times.at(-1)! - times[0]!,
        decodeSteps: times.length - 1,
      },
    };
  }

  const score = ({ groups }: Rollout, probe?: MassProbe): Promise<Rollout> =>
    policy.model.score(groups, { temperature: 1, keep: true, probe });

  /** Rewards, advantages and loss: the work of a step between forward and backward. */
  async function verdict(scored: Rollout, rewards: readonly Reward[]): Promise<Float32Array> {
    const logger = { debug: say, info: say, warn: say };
    const { totals } = await judge(scored.groups, {
      rewards,
      model: policy.model,
      attnProbe: 'auto',
      normBbox: 'none',
      logger,
      step: 0,
      maxSteps: 1,
    });
    const { advantages } = groupAdvantages(totals, COMPLETIONS, { scaleRewards: 'group' });
    const logps = logpsOf(scored);
    const counts = countStep([logps.map(({ length }) => length)]);
    const { dLogps } = grpoLoss({ logps, oldLogps: null, refLogps: null, advantages }, LOSS, counts);
    return Float32Array.from(dLogps.flatMap((row) => [...row]));
  }

  /** The part of a step after the rollout, up to the gradients. */
  async function learn({ rollout, parts }: Sampled): Promise<VariantSample> {
    const forward = rollout.tape === null ? await timed(() => score(rollout)) : { result: rollout, ms: 0 };
    const reward = await timed(() => verdict(forward.result, plain));
    const backward = await timed(() => policy.model.backward(forward.result.tape!, reward.result));
    return { ...parts, forward: forward.ms, reward: reward.ms, backward: backward.ms };
  }

  function setCheckpointing(which: Variant): void {
    if (keepsProducts(which)) policy.model.gradient_checkpointing_disable();
    else policy.model.gradient_checkpointing_enable();
  }

  /** A step from rollout to gradients. The unrecorded rollout is the same for all variants, so it is passed in. */
  async function run(which: Variant, unrecorded: Sampled, label: string): Promise<VariantSample> {
    setCheckpointing(which);
    return learn(isRecorded(which) ? await sample(promptOf(unrecorded), label, true) : unrecorded);
  }

  /** The default variant from rollout to rewards, with the attention reward among them. */
  async function runWithAttention(sampled: Sampled, label: string): Promise<StepSample['attention']> {
    const prompt = promptOf(sampled);
    const probe = probeOf(prompt);
    setCheckpointing(variant);
    if (isRecorded(variant)) {
      const probed = await sample(prompt, label, true, probe);
      const reward = await timed(() => verdict(probed.rollout, withAttention));
      return { rollout: probed.parts.rollout, forward: 0, reward: reward.ms };
    }
    const forward = await timed(() => score(sampled.rollout, probe));
    const reward = await timed(() => verdict(forward.result, withAttention));
    return { rollout: sampled.parts.rollout, forward: forward.ms, reward: reward.ms };
  }

  return {
    work(visualTokens) {
      const sizes = sizesOf(visualTokens);
      const { text, vision } = modelConfig;
      const grid = gridOf(visualTokens, policy);
      return {
        visionFlop: visionFlop(vision, patchesOf(grid), visionPairs(modelConfig, grid)),
        prefillFlop: prefillFlop(text, sizes.prompt),
        decodeFlop: decodeFlop(text, sizes),
        forwardFlop: forwardFlop(text, sizes),
        backwardFlop: backwardFlop(text, sizes),
        recomputedFlop: {
          recompute: recomputedFlop(text, sizes, { gradientCheckpointing: true, recorded: false }),
          residuals: recomputedFlop(text, sizes, { gradientCheckpointing: false, recorded: false }),
          recorded: recomputedFlop(text, sizes, { gradientCheckpointing: true, recorded: true }),
          'recorded residuals': recomputedFlop(text, sizes, { gradientCheckpointing: false, recorded: true }),
        },
        decodeBytes: decodeBytes(text),
        decodeSteps: TOKENS - 1,
        optimiserBytes: optimiserBytes(trainedCount),
      };
    },

    async repeat(visualTokens, repetition) {
      const name = `${visualTokens}/${repetition}`;
      const prompt = syntheticPrompt(visualTokens, policy, random.fork(name), name);
      const before = await rates.measure(sizesOf(visualTokens));
      const vision = await timed(() => policy.model.images.encode(prompt.images, false));

      const sampled = await sample(prompt, name, false);
      // The steps with and without the attention reward run next to each other, because the speed of a machine drifts within
      // seconds. They alternate in going first, because the first one finds cold caches.
      const others = VARIANTS.filter((other) => other !== variant);
      const compared = repetition % 2 === 0 ? (['attention', variant] as const) : ([variant, 'attention'] as const);
      const variants: Partial<Record<Variant, VariantSample>> = {};
      let attention: StepSample['attention'] | undefined;
      for (const what of [...compared, ...others]) {
        await parameters.zeroGradients();
        if (what === 'attention') attention = await runWithAttention(sampled, name);
        else variants[what] = await run(what, sampled, name);
      }
      const optimiser = await timed(() => updater.update());
      const after = await rates.measure(sizesOf(visualTokens));
      return {
        vision: vision.ms,
        optimiser: optimiser.ms,
        variants: variants as Record<Variant, VariantSample>,
        attention: attention!,
        sgemmRate: (before.sgemm + after.sgemm) / 2,
        streamRate: (before.stream + after.stream) / 2,
      };
    },

    async close() {
      await Promise.all([generator.release(), rates.release(), updater.release()]);
      await policy.close();
    },
  };
}

// --- internal ---

export const LOSS = {
  lossType: 'grpo',
  importanceSamplingLevel: 'token',
  epsilon: 0.2,
  epsilonHigh: 0.28,
  delta: null,
  tauPos: 1,
  tauNeg: 1.05,
  offPolicySequenceMaskDelta: null,
  beta: 0,
  maxCompletionLength: TOKENS,
} as const;

/** A reward that costs nothing and differs within a group. */
export const trivialReward: Reward = {
  name: 'trivial',
  label: 'Trivial',
  orm: { call: (_, { completion_ids }) => completion_ids.map((ids) => ids[0]! % 2) },
  weight: 1,
  needs: [],
  file: undefined,
};

/** The synthetic prompt does not come from a dataset. */
const ROW: Row = { index: 0, where: 'bench', messages: [], images: [], tools: [], columns: {}, notes: [] };

interface Sampled {
  /** One group; scored, with a tape, if it was recorded. */
  readonly rollout: Rollout;
  readonly parts: Pick<VariantSample, 'rollout' | 'prefill' | 'decode' | 'decodeSteps'>;
}

const promptOf = ({ rollout }: Sampled): RolloutPrompt => rollout.groups[0]!.prompt;

/** The grid of a square image. */
export function gridOf(visualTokens: number, { modelConfig }: Pick<Policy, 'modelConfig'>): [number, number, number] {
  const side = Math.sqrt(visualTokens) * modelConfig.vision.spatialMergeSize;
  return [1, side, side];
}

/** Ordinary tokens around an image of noise. A new `name` makes a new image, so that no cache has it. */
export function syntheticPrompt(
  visualTokens: number,
  policy: Pick<Policy, 'modelConfig' | 'template'>,
  random: Random,
  name: string,
): RolloutPrompt {
  const { modelConfig, template } = policy;
  const banned = new Set(stopsAndBans(policy, []).bannedIds);
  const ordinary = Array.from({ length: modelConfig.text.vocabSize }, (_, id) => id).filter((id) => !banned.has(id));
  const words = Array.from({ length: TEXT_TOKENS }, () => ordinary[random.int(ordinary.length)]!);
  const gridThw = gridOf(visualTokens, policy);
  const { inChannels, temporalPatchSize, patchSize } = modelConfig.vision;
  const width = inChannels * temporalPatchSize * patchSize ** 2;
  const pixels = { width: gridThw[2] * patchSize, height: gridThw[1] * patchSize };
  const ids = Int32Array.from([
    ...words.slice(0, 2 * SYSTEM_TOKENS),
    modelConfig.visionStartTokenId,
    ...new Array<number>(visualTokens).fill(modelConfig.imageTokenId),
    modelConfig.visionEndTokenId,
    ...words.slice(2 * SYSTEM_TOKENS),
  ]);
  return {
    row: ROW,
    text: template.decode(ids),
    ids,
    images: [
      {
        pixelValues: Float32Array.from({ length: gridThw[1] * gridThw[2] * width }, () => random.normal()),
        gridThw,
        size: { stored: pixels, shown: pixels },
        hash: name,
      },
    ],
    systemPrefix: SYSTEM_TOKENS,
  };
}
