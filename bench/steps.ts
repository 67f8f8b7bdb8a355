/**
 * One GRPO step taken apart: the calls of the training loop on the mini model, each with its time.
 * Image and prompt are made up; rollout, rewards, loss, backward and optimiser are those of a run.
 */
import { fileURLToPath } from 'node:url';
import { tdrProbe } from '../src/attention/probe.ts';
import { groupAdvantages } from '../src/grpo/advantages.ts';
import { countStep, grpoLoss } from '../src/grpo/loss.ts';
import { type RolloutGroup, rollout } from '../src/grpo/rollout.ts';
import { createGenerator, type Generator } from '../src/models/qwen2_5_vl/generation.ts';
import type { Scored } from '../src/models/qwen2_5_vl/model.ts';
import { visionLayout } from '../src/models/qwen2_5_vl/vision_layout.ts';
import { loadPlugins } from '../src/rewards/plugin.ts';
import { createRewards, type Reward } from '../src/rewards/registry.ts';
import type { EncodedPrompt } from '../src/template/template.ts';
import { judge, probedPrompts } from '../src/train/judge.ts';
import { openPolicy, type Policy } from '../src/train/policy.ts';
import { stopsAndBans } from '../src/train/sampling.ts';
import { createUpdater } from '../src/train/update.ts';
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
} from './flops.ts';
import type { StepSample, StepWork } from './goals.ts';
import { createRates } from './rates.ts';
import { timed } from './statistics.ts';

export const COMPLETIONS = 8;
export const TOKENS = 64;
/** Words around the picture; the first of them are the system block. */
const TEXT_TOKENS = 60;
const SYSTEM_TOKENS = 10;
/** The repository's plugin, from the folder of the build. */
const PLUGIN = fileURLToPath(new URL('../../../examples/train/grpo/plugin/plugin.ts', import.meta.url));

export interface StepBench {
  work(visualTokens: number): StepWork;
  /** One repetition: rates of the machine, then a step with every variant of its parts. */
  repeat(visualTokens: number, repetition: number): Promise<StepSample>;
  close(): Promise<void>;
}

/** Tokens of a step whose image has so many visual tokens. */
export const sizesOf = (visualTokens: number): StepSizes => ({
  prompt: TEXT_TOKENS + 2 + visualTokens,
  completions: COMPLETIONS,
  tokens: TOKENS,
});

/** @param gradientCheckpointing the setting that a run has by default */
export async function openStepBench(
  model: string,
  gradientCheckpointing: boolean,
  say: (line: string) => void,
): Promise<StepBench> {
  const policy = await openPolicy({ model, attnImpl: 'sdpa', trainable: true, gradientCheckpointing });
  const { config, parameters } = policy;
  await loadPlugins([PLUGIN]);
  const plain: readonly Reward[] = [trivialReward];
  const withAttention: readonly Reward[] = [trivialReward, ...createRewards(['ddapo_attention'])];
  const rates = await createRates(config.text, parameters);
  const watched = watch(createGenerator(policy.model));
  const updater = await createUpdater(parameters, {
    beta1: 0.9,
    beta2: 0.95,
    epsilon: 1e-8,
    weightDecay: 0,
    maxGradNorm: 1,
    schedule: () => 1e-6,
  });
  const random = createRandom(0);
  const trainedCount = parameters.trained.reduce((sum, name) => sum + parameters.value(name).data.length, 0);
  const probeOf = (groups: readonly RolloutGroup[]) =>
    tdrProbe(probedPrompts(groups), [config.imageTokenId, config.videoTokenId], config.text.numHiddenLayers);

  const score = (groups: readonly RolloutGroup[], probe?: ReturnType<typeof probeOf>): Promise<Scored> =>
    policy.model.score(
      groups.map(({ prompt, completions }) => ({
        promptIds: prompt.ids,
        images: prompt.images,
        completions: completions.map(({ ids }) => ids),
      })),
      { temperature: 1, keep: true, probe },
    );

  /** Rewards, advantages, loss: what the step does between forward and backward. */
  const verdict = async (groups: readonly RolloutGroup[], scored: Scored, rewards: readonly Reward[]) => {
    const measured = rewards === withAttention ? scored.completions : null;
    const logger = { debug: say, info: say, warn: say };
    const { totals } = await judge(groups, measured, {
      rewards,
      model: policy.model,
      attnProbe: 'auto',
      logger,
      step: 0,
      maxSteps: 1,
    });
    const { advantages } = groupAdvantages(totals, COMPLETIONS, { scaleRewards: 'group' });
    const logps = scored.completions.flat().map((completion) => completion.logps);
    const counts = countStep([{ lengths: logps.map(({ length }) => length), mask: null }]);
    const { dLogps } = grpoLoss({ logps, oldLogps: null, refLogps: null, advantages, mask: null }, LOSS, counts);
    return Float32Array.from(dLogps.flatMap((row) => [...row]));
  };

  return {
    work(visualTokens) {
      const sizes = sizesOf(visualTokens);
      const { text, vision } = config;
      const { patches, windowRuns } = visionLayout(vision, gridOf(visualTokens, policy));
      const windows = windowRuns.flatMap((run) => new Array<number>(run.windows).fill(run.size));
      return {
        visionFlop: visionFlop(vision, patches, windows),
        prefillFlop: prefillFlop(text, sizes.prompt),
        decodeFlop: decodeFlop(text, sizes),
        forwardFlop: forwardFlop(text, sizes),
        backwardFlop: backwardFlop(text, sizes),
        recomputedFlop: recomputedFlop(text, sizes, gradientCheckpointing),
        otherRecomputedFlop: recomputedFlop(text, sizes, !gradientCheckpointing),
        decodeBytes: decodeBytes(text),
        decodeSteps: TOKENS - 1,
        optimiserBytes: optimiserBytes(trainedCount),
      };
    },

    async repeat(visualTokens, repetition) {
      const sizes = sizesOf(visualTokens);
      const sgemmRate = await rates.sgemm(sizes);
      const streamRate = await rates.stream();
      const name = `${visualTokens}/${repetition}`;
      const prompt = madeUpPrompt(visualTokens, policy, random.fork(name), name);
      const row = { index: 0, where: 'bench', messages: [], images: [], columns: {} };

      const vision = await timed(() => policy.model.images.encode(prompt.images, false));
      const start = performance.now();
      const { result: groups, ms: rolled } = await timed(() =>
        rollout(
          [{ row, prompt }],
          {
            numGenerations: COMPLETIONS,
            maxCompletionLength: TOKENS,
            temperature: 1,
            topP: 1,
            topK: 0,
            ...stopsAndBans(policy),
            stopIds: [],
          },
          { generator: watched.generator, template: policy.template, random: random.fork(`rollout ${name}`) },
        ),
      );
      const prefill = watched.times[0]! - start;
      const decodeSteps = watched.times.length - 1;
      const decode = watched.times.at(-1)! - watched.times[0]!;

      const learn = async () => {
        const forward = await timed(() => score(groups));
        const reward = await timed(() => verdict(groups, forward.result, plain));
        const backward = await timed(() => policy.model.backward(forward.result.tape!, reward.result));
        return { forward: forward.ms, reward: reward.ms, backward: backward.ms };
      };
      const look = async () => {
        const forward = await timed(() => score(groups, probeOf(groups)));
        const reward = await timed(() => verdict(groups, forward.result, withAttention));
        return { forward: forward.ms, reward: reward.ms };
      };
      // The two forwards that are compared take turns in going first: the first one finds the caches cold.
      const early = repetition % 2 === 0 ? await look() : null;
      const learned = await learn();
      const optimiser = await timed(() => updater.update());
      const looked = early ?? (await look());
      setCheckpointing(policy, !gradientCheckpointing);
      const other = await learn();
      setCheckpointing(policy, gradientCheckpointing);
      parameters.zeroGradients();
      return {
        vision: vision.ms,
        prefill,
        decode,
        decodeSteps,
        forward: learned.forward,
        // With what a rollout does after its last token: text of the completions.
        reward: learned.reward + (rolled - prefill - decode),
        backward: learned.backward,
        optimiser: optimiser.ms,
        attentionForward: looked.forward,
        attentionReward: looked.reward + (rolled - prefill - decode),
        otherForward: other.forward,
        otherBackward: other.backward,
        sgemmRate,
        streamRate,
      };
    },

    async close() {
      await watched.generator.release();
      await Promise.all([rates.release(), updater.release()]);
      await policy.close();
    },
  };
}

// --- internal ---

const LOSS = {
  lossType: 'grpo',
  importanceSamplingLevel: 'token',
  epsilon: 0.2,
  epsilonHigh: 0.28,
  delta: null,
  beta: 0,
  maxCompletionLength: TOKENS,
} as const;

/** Costs nothing, and differs within a group. */
const trivialReward: Reward = {
  name: 'trivial',
  label: 'Trivial',
  orm: { call: (_, { completion_ids }) => completion_ids.map((ids) => ids[0]! % 2) },
  weight: 1,
  needs: [],
  file: undefined,
};

/** A generator that notes when each token was there. */
function watch(generator: Generator): { generator: Generator; readonly times: number[] } {
  const times: number[] = [];
  return {
    times,
    generator: {
      ...generator,
      generate(prompts, options) {
        times.length = 0;
        return generator.generate(prompts, { ...options, onTokens: () => times.push(performance.now()) });
      },
    },
  };
}

function setCheckpointing({ model }: Policy, on: boolean): void {
  if (on) model.gradient_checkpointing_enable();
  else model.gradient_checkpointing_disable();
}

/** A square image. */
function gridOf(visualTokens: number, { config }: Policy): [number, number, number] {
  const side = Math.sqrt(visualTokens) * config.vision.spatialMergeSize;
  return [1, side, side];
}

/** Ordinary tokens around an image of noise; a new `name` is a new image, so that no cache answers for it. */
function madeUpPrompt(visualTokens: number, policy: Policy, random: Random, name: string): EncodedPrompt {
  const { config, template } = policy;
  const banned = new Set(stopsAndBans(policy).bannedIds);
  const ordinary = Array.from({ length: config.text.vocabSize }, (_, id) => id).filter((id) => !banned.has(id));
  const words = Array.from({ length: TEXT_TOKENS }, () => ordinary[random.int(ordinary.length)]!);
  const gridThw = gridOf(visualTokens, policy);
  const { inChannels, temporalPatchSize, patchSize } = config.vision;
  const width = inChannels * temporalPatchSize * patchSize ** 2;
  const ids = Int32Array.from([
    ...words.slice(0, 2 * SYSTEM_TOKENS),
    config.visionStartTokenId,
    ...new Array<number>(visualTokens).fill(config.imageTokenId),
    config.visionEndTokenId,
    ...words.slice(2 * SYSTEM_TOKENS),
  ]);
  return {
    text: template.decode(ids),
    ids,
    images: [
      {
        pixelValues: Float32Array.from({ length: gridThw[1] * gridThw[2] * width }, () => random.normal()),
        gridThw,
        hash: name,
      },
    ],
    systemPrefix: SYSTEM_TOKENS,
  };
}
