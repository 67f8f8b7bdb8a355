/**
 * The numbers that the benchmark reports: their keys, their goals, and their derivation from measurements.
 * Every ratio is taken within one repetition; the median over repetitions is reported.
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
 * How the backward gets the results of the forward. `recompute` runs a block's forward again (gradient checkpointing);
 * `residuals` keeps the results of products. The recorded variants run no training forward: the backward recomputes from the
 * values that sampling kept (`recorded`), or takes the results of products from sampling too (`recorded residuals`).
 */
export const VARIANTS = ['recompute', 'residuals', 'recorded', 'recorded residuals'] as const;
export type Variant = (typeof VARIANTS)[number];

export const isRecorded = (variant: Variant): boolean => variant === 'recorded' || variant === 'recorded residuals';
/** Whether the results of products are kept for the backward, from a forward or from sampling. */
export const keepsProducts = (variant: Variant): boolean => variant === 'residuals' || variant === 'recorded residuals';

/** Times in milliseconds of the parts in which the variants differ. */
export interface VariantSample {
  /** Until the last completion has its text. */
  readonly rollout: number;
  /** Part of the rollout, until the first token. */
  readonly prefill: number;
  /** Part of the rollout, from the first token to the last. */
  readonly decode: number;
  /** Number of decode steps within `decode`. */
  readonly decodeSteps: number;
  /** 0 for a recorded variant, which has none. */
  readonly forward: number;
  /** Rewards, advantages, loss. */
  readonly reward: number;
  readonly backward: number;
}

/** The measurements of one repetition: times in milliseconds, rates in FLOP or bytes per millisecond. */
export interface StepSample {
  readonly vision: number;
  readonly optimiser: number;
  readonly variants: Readonly<Record<Variant, VariantSample>>;
  /** The parts of the default variant that the attention reward changes, measured with that reward. */
  readonly attention: Pick<VariantSample, 'rollout' | 'forward' | 'reward'>;
  readonly sgemmRate: number;
  readonly streamRate: number;
}

/** The work of a step: FLOP and bytes. */
export interface StepWork {
  readonly visionFlop: number;
  readonly prefillFlop: number;
  readonly decodeFlop: number;
  readonly forwardFlop: number;
  readonly backwardFlop: number;
  /** Work that the backward repeats. */
  readonly recomputedFlop: Readonly<Record<Variant, number>>;
  /** Bytes of weights that one decode step reads. */
  readonly decodeBytes: number;
  /** Number of decode steps in a rollout. */
  readonly decodeSteps: number;
  readonly optimiserBytes: number;
}

export interface StepSeries {
  readonly visualTokens: number;
  /** The variant that a run uses by default. */
  readonly variant: Variant;
  readonly work: StepWork;
  readonly samples: readonly StepSample[];
}

/** Peak memory of scoring, in bytes above the loaded model, for the short and the long sequence. */
export interface MemorySample {
  readonly short: number;
  readonly long: number;
}

/** Milliseconds of one step without the attention reward. */
export function stepTime({ vision, optimiser, variants }: StepSample, variant: Variant): number {
  const { rollout, forward, reward, backward } = variants[variant];
  return vision + rollout + forward + reward + backward + optimiser;
}

/** FLOP that a variant spends on forward and backward. */
export const trainFlop = (work: StepWork, variant: Variant): number =>
  (isRecorded(variant) ? 0 : work.forwardFlop) + work.backwardFlop + work.recomputedFlop[variant];

/** Rate of forward and backward (recomputation counts as work), divided by the rate of the bare products. */
export function trainRatio(s: StepSample, work: StepWork, variant: Variant): number {
  const { forward, backward } = s.variants[variant];
  return trainFlop(work, variant) / (forward + backward) / s.sgemmRate;
}

export function decodeRatio(s: StepSample, work: StepWork, variant: Variant): number {
  const { decode, decodeSteps } = s.variants[variant];
  return (work.decodeBytes * decodeSteps) / decode / s.streamRate;
}

/** Compares only the parts that the reward changes, because the noise of the others would hide the difference. */
export function attentionOverhead(s: StepSample, variant: Variant): number {
  const without = s.variants[variant];
  const time = (parts: StepSample['attention']): number => parts.rollout + parts.forward + parts.reward;
  return (time(s.attention) - time(without)) / stepTime(s, variant);
}

/**
 * Milliseconds of an ideal step, in which nothing is computed twice and only products and streams take time: vision, forward
 * (which serves as the rollout's prefill too; a recorded step has the prefill only), backward without recomputation,
 * decode, optimiser.
 */
export function floorTime(s: StepSample, work: StepWork, variant: Variant): number {
  const forward = isRecorded(variant) ? work.prefillFlop : work.forwardFlop;
  return (
    (work.visionFlop + forward + work.backwardFlop) / s.sgemmRate +
    (work.decodeBytes * work.decodeSteps + work.optimiserBytes) / s.streamRate
  );
}

/** If both prompt lengths yield a number, the worse one counts. */
export function resultsOf(
  short: StepSeries,
  long: StepSeries,
  memory: readonly MemorySample[],
  startup: readonly StartupSample[],
): Results {
  const { variant } = short;
  // A recorded step has no forward; take the variant whose backward starts from the same values.
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

/** The results as one JSON object, with four significant digits. */
export function toJson(results: Results): string {
  const keys = Object.keys(GOALS) as GoalKey[];
  return JSON.stringify(Object.fromEntries(keys.map((key) => [key, Number(results[key].toPrecision(4))])));
}
