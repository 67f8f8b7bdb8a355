/**
 * The numbers the benchmark is about: their keys, goals, and how they are derived from what was measured.
 * Every ratio is taken within one repetition, and the median over repetitions is reported.
 */
import type { StartupSample } from './startup.ts';
import { median, medianOf } from './statistics.ts';

export interface Goal {
  readonly what: string;
  readonly limit: number;
  /** Which side of the limit is good. */
  readonly good: 'at least' | 'at most';
}

export const GOALS = {
  train_flops_ratio: {
    what: 'forward + backward, FLOP/s over SGEMM rate of the same shapes',
    limit: 0.75,
    good: 'at least',
  },
  decode_stream_ratio: { what: 'decode of 8 rows, weight bytes/s over stream rate', limit: 0.6, good: 'at least' },
  attention_overhead: { what: 'attention reward on top of the same step without it', limit: 0.05, good: 'at most' },
  long_prompt_ratio: { what: 'step at 256 visual tokens over step at 64', limit: 1.6, good: 'at most' },
  step_over_floor: { what: 'step over its own floor', limit: 1.5, good: 'at most' },
  scoring_memory_ratio: { what: 'scoring memory at 8192 tokens over 2048, flash', limit: 4.5, good: 'at most' },
  startup_s: { what: 'start-up to the end of the first step, seconds', limit: 5, good: 'at most' },
} as const satisfies Record<string, Goal>;

export type GoalKey = keyof typeof GOALS;
export type Results = Record<GoalKey, number>;

/**
 * Where backward finds what the forward computed: `recompute` runs a block's forward again (gradient checkpointing),
 * `residuals` keeps results of products. The recorded ones make no training forward at all: backward recomputes from
 * what sampling has kept, or has results of products from there too.
 */
export const VARIANTS = ['recompute', 'residuals', 'recorded', 'recorded residuals'] as const;
export type Variant = (typeof VARIANTS)[number];

export const isRecorded = (variant: Variant): boolean => variant === 'recorded' || variant === 'recorded residuals';
/** Whether backward has results of products, from a forward or from sampling. */
export const keepsProducts = (variant: Variant): boolean => variant === 'residuals' || variant === 'recorded residuals';

/** Milliseconds of the parts in which the variants differ. */
export interface VariantSample {
  /** Until the last completion has its text; of it: until the first token, and from the first to the last. */
  readonly rollout: number;
  readonly prefill: number;
  readonly decode: number;
  /** Decode steps that `decode` is the time of. */
  readonly decodeSteps: number;
  /** 0 where there is none. */
  readonly forward: number;
  /** Rewards, advantages, loss. */
  readonly reward: number;
  readonly backward: number;
}

/** What one repetition says: times in milliseconds, rates in FLOP or bytes per millisecond. */
export interface StepSample {
  readonly vision: number;
  readonly optimiser: number;
  readonly variants: Readonly<Record<Variant, VariantSample>>;
  /** The parts of the default variant that the attention reward changes, with it. */
  readonly attention: Pick<VariantSample, 'rollout' | 'forward' | 'reward'>;
  readonly sgemmRate: number;
  readonly streamRate: number;
}

/** What a step computes and reads. */
export interface StepWork {
  readonly visionFlop: number;
  readonly prefillFlop: number;
  readonly decodeFlop: number;
  readonly forwardFlop: number;
  readonly backwardFlop: number;
  /** Computed again in backward. */
  readonly recomputedFlop: Readonly<Record<Variant, number>>;
  /** Weights of one decode step, and decode steps of a rollout. */
  readonly decodeBytes: number;
  readonly decodeSteps: number;
  readonly optimiserBytes: number;
}

export interface StepSeries {
  readonly visualTokens: number;
  /** The variant that a run uses unless told otherwise. */
  readonly variant: Variant;
  readonly work: StepWork;
  readonly samples: readonly StepSample[];
}

/** Peak memory of scoring above the loaded model, bytes. */
export interface MemorySample {
  readonly short: number;
  readonly long: number;
}

/** One step without the attention reward. */
export function stepTime({ vision, optimiser, variants }: StepSample, variant: Variant): number {
  const { rollout, forward, reward, backward } = variants[variant];
  return vision + rollout + forward + reward + backward + optimiser;
}

/** FLOP of forward and backward that a variant runs. */
export const trainFlop = (work: StepWork, variant: Variant): number =>
  (isRecorded(variant) ? 0 : work.forwardFlop) + work.backwardFlop + work.recomputedFlop[variant];

/** FLOP/s of forward and backward, recomputation counted as the work it is, over the rate of the bare products. */
export function trainRatio(s: StepSample, work: StepWork, variant: Variant): number {
  const { forward, backward } = s.variants[variant];
  return trainFlop(work, variant) / (forward + backward) / s.sgemmRate;
}

export function decodeRatio(s: StepSample, work: StepWork, variant: Variant): number {
  const { decode, decodeSteps } = s.variants[variant];
  return (work.decodeBytes * decodeSteps) / decode / s.streamRate;
}

/** Only parts that the reward changes are compared: the noise of the others would drown the difference. */
export function attentionOverhead(s: StepSample, variant: Variant): number {
  const without = s.variants[variant];
  const time = (parts: StepSample['attention']): number => parts.rollout + parts.forward + parts.reward;
  return (time(s.attention) - time(without)) / stepTime(s, variant);
}

/**
 * Milliseconds of a step in which nothing is computed twice and only products and streams take time: vision, forward
 * (which stands for the rollout's prefill too; of a recorded step the prefill alone), backward without recomputation,
 * decode, optimiser.
 */
export function floorTime(s: StepSample, work: StepWork, variant: Variant): number {
  const forward = isRecorded(variant) ? work.prefillFlop : work.forwardFlop;
  return (
    (work.visionFlop + forward + work.backwardFlop) / s.sgemmRate +
    (work.decodeBytes * work.decodeSteps + work.optimiserBytes) / s.streamRate
  );
}

/** Where both prompt lengths have a number, the worse one counts. */
export function resultsOf(
  short: StepSeries,
  long: StepSeries,
  memory: readonly MemorySample[],
  startup: readonly StartupSample[],
): Results {
  const { variant } = short;
  // A recorded step has no forward: that of the step whose backward starts from the same values stands for it.
  const trained = keepsProducts(variant) ? 'residuals' : 'recompute';
  const both = (measure: (s: StepSample, work: StepWork) => number): number[] =>
    [short, long].map(({ samples, work }) => medianOf(samples, (sample) => measure(sample, work)));
  return {
    train_flops_ratio: Math.min(...both((s, work) => trainRatio(s, work, trained))),
    decode_stream_ratio: Math.min(...both((s, work) => decodeRatio(s, work, variant))),
    attention_overhead: Math.max(...both((s) => attentionOverhead(s, variant))),
    long_prompt_ratio: median(
      long.samples.map((sample, i) => stepTime(sample, variant) / stepTime(short.samples[i]!, variant)),
    ),
    step_over_floor: Math.max(...both((s, work) => stepTime(s, variant) / floorTime(s, work, variant))),
    scoring_memory_ratio: medianOf(memory, (sample) => sample.long / sample.short),
    startup_s: medianOf(startup, ({ seconds }) => seconds),
  };
}

export const isMet = (key: GoalKey, value: number): boolean =>
  GOALS[key].good === 'at least' ? value >= GOALS[key].limit : value <= GOALS[key].limit;

/** The results as one JSON object, numbers to four significant digits. */
export function toJson(results: Results): string {
  const keys = Object.keys(GOALS) as GoalKey[];
  return JSON.stringify(Object.fromEntries(keys.map((key) => [key, Number(results[key].toPrecision(4))])));
}
