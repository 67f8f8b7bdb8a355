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

/** What one repetition of a step says, times in milliseconds, rates in FLOP or bytes per millisecond. */
export interface StepSample {
  readonly vision: number;
  readonly prefill: number;
  readonly decode: number;
  readonly forward: number;
  readonly reward: number;
  readonly backward: number;
  readonly optimiser: number;
  /** Forward and reward with the attention reward, in place of `forward` and `reward`. */
  readonly attentionForward: number;
  readonly attentionReward: number;
  /** Forward and backward with the other setting of gradient checkpointing. */
  readonly otherForward: number;
  readonly otherBackward: number;
  /** Decode steps that `decode` is the time of. */
  readonly decodeSteps: number;
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
  /** Computed again in backward, with the step's setting of gradient checkpointing and with the other one. */
  readonly recomputedFlop: number;
  readonly otherRecomputedFlop: number;
  /** Weights of one decode step, and decode steps of a rollout. */
  readonly decodeBytes: number;
  readonly decodeSteps: number;
  readonly optimiserBytes: number;
}

export interface StepSeries {
  readonly visualTokens: number;
  readonly work: StepWork;
  readonly samples: readonly StepSample[];
}

/** Peak memory of scoring above the loaded model, bytes. */
export interface MemorySample {
  readonly short: number;
  readonly long: number;
}

/** One step without the attention reward. */
export const stepTime = (s: StepSample): number =>
  s.vision + s.prefill + s.decode + s.forward + s.reward + s.backward + s.optimiser;

/** FLOP/s of forward and backward, recomputation counted as the work it is, over the rate of the bare products. */
export const trainRatio = (s: StepSample, work: StepWork): number =>
  (work.forwardFlop + work.backwardFlop + work.recomputedFlop) / (s.forward + s.backward) / s.sgemmRate;

/** The same with the other setting of gradient checkpointing. */
export const otherTrainRatio = (s: StepSample, work: StepWork): number =>
  (work.forwardFlop + work.backwardFlop + work.otherRecomputedFlop) / (s.otherForward + s.otherBackward) / s.sgemmRate;

/** The same, counting only what a step cannot do without: no recomputation. */
export const usefulTrainRatio = (s: StepSample, work: StepWork): number =>
  (work.forwardFlop + work.backwardFlop) / (s.forward + s.backward) / s.sgemmRate;

export const decodeRatio = (s: StepSample, work: StepWork): number =>
  (work.decodeBytes * s.decodeSteps) / s.decode / s.streamRate;

export const attentionOverhead = (s: StepSample): number =>
  (s.attentionForward + s.attentionReward - s.forward - s.reward) / stepTime(s);

/**
 * Milliseconds of a step in which nothing is done twice and nothing but products and streams takes time: vision, one
 * forward (which stands for the prompt's prefill too) and backward without recomputation, decode, optimiser.
 */
export const floorTime = (s: StepSample, work: StepWork): number =>
  (work.visionFlop + work.forwardFlop + work.backwardFlop) / s.sgemmRate +
  (work.decodeBytes * work.decodeSteps + work.optimiserBytes) / s.streamRate;

/** Where both prompt lengths have a number, the worse one counts. */
export function resultsOf(
  short: StepSeries,
  long: StepSeries,
  memory: readonly MemorySample[],
  startup: readonly StartupSample[],
): Results {
  const over = (measure: (s: StepSample, work: StepWork) => number): number[] =>
    [short, long].map(({ samples, work }) => medianOf(samples, (sample) => measure(sample, work)));
  return {
    train_flops_ratio: Math.min(...over(trainRatio)),
    decode_stream_ratio: Math.min(...over(decodeRatio)),
    attention_overhead: Math.max(...over(attentionOverhead)),
    long_prompt_ratio: median(long.samples.map((sample, i) => stepTime(sample) / stepTime(short.samples[i]!))),
    step_over_floor: Math.max(...over((s, work) => stepTime(s) / floorTime(s, work))),
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
