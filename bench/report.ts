/**
 * Prints what was measured: the machine, the steps part by part, and the numbers beside their goals.
 */
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { runtimeVersion } from '../src/runtime/session.ts';
import {
  floorTime,
  GOALS,
  type GoalKey,
  isMet,
  type MemorySample,
  otherTrainRatio,
  type Results,
  type StepSample,
  type StepSeries,
  type StepWork,
  stepTime,
  trainRatio,
  usefulTrainRatio,
} from './goals.ts';
import { medianOf } from './statistics.ts';

export interface Surroundings {
  readonly date: string;
  readonly machine: string;
  readonly software: string;
  /** One-minute load averages. */
  readonly loads: readonly number[];
}

export async function describeMachine(): Promise<Omit<Surroundings, 'loads'>> {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  const memory = Math.round(totalmem() / 2 ** 30);
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${model}, ${availableParallelism()} hardware threads, ${memory} GiB`,
    software: `Node ${process.versions.node}, ${await runtimeVersion()}, its own choice of threads (one per core)`,
  };
}

export const currentLoad = (): number => loadavg()[0]!;

export function surroundingsText({ date, machine, software, loads }: Surroundings): string {
  return [date, machine, software, `load ${loads.map((load) => load.toFixed(1)).join(', ')}`].join('\n');
}

/** One step, part by part; medians. */
export function stepText(series: StepSeries, promptTokens: number, gradientCheckpointing: boolean): string {
  const { visualTokens, work, samples } = series;
  const ms = (pick: (s: StepSample) => number): number => medianOf(samples, pick);
  const learnFlop = work.backwardFlop + work.recomputedFlop;
  const rows: [string, number, number | null][] = [
    ['vision', ms((s) => s.vision), work.visionFlop],
    ['rollout', ms((s) => s.prefill + s.decode), work.prefillFlop + work.decodeFlop],
    ['  prefill', ms((s) => s.prefill), work.prefillFlop],
    ['  decode', ms((s) => s.decode), work.decodeFlop],
    ['forward', ms((s) => s.forward), work.forwardFlop],
    ['reward', ms((s) => s.reward), null],
    ['backward', ms((s) => s.backward), learnFlop],
    ['optimiser', ms((s) => s.optimiser), null],
    ['step', ms(stepTime), work.visionFlop + work.prefillFlop + work.decodeFlop + work.forwardFlop + learnFlop],
    ['its floor', ms((s) => floorTime(s, work)), null],
    ['forward, with attention reward', ms((s) => s.attentionForward), work.forwardFlop],
    ['reward, with attention reward', ms((s) => s.attentionReward), null],
    [`forward, ${recompute(!gradientCheckpointing)}`, ms((s) => s.otherForward), work.forwardFlop],
    [
      `backward, ${recompute(!gradientCheckpointing)}`,
      ms((s) => s.otherBackward),
      work.backwardFlop + work.otherRecomputedFlop,
    ],
  ];
  const title = `${visualTokens} visual tokens, prompt of ${promptTokens}; backward ${recompute(gradientCheckpointing)}`;
  return [
    title,
    columns('part', 'ms', 'GFLOP', 'GFLOP/s'),
    ...rows.map(([name, time, flop]) =>
      columns(
        name,
        time.toFixed(1),
        flop === null ? '' : (flop / 1e9).toFixed(2),
        flop === null ? '' : gflops(flop, time),
      ),
    ),
    `SGEMM ${(ms((s) => s.sgemmRate) / 1e6).toFixed(0)} GFLOP/s, stream ${(ms((s) => s.streamRate) / 1e6).toFixed(1)} GB/s; ` +
      `one decode step ${ms((s) => s.decode / s.decodeSteps).toFixed(2)} ms, ` +
      `${(work.decodeBytes / 1e6).toFixed(0)} MB of weights, ${(ms((s) => decodeRate(s, work)) / 1e6).toFixed(1)} GB/s`,
    `forward + backward over SGEMM: ${ms((s) => trainRatio(s, work)).toFixed(2)}; ` +
      `without the recomputed FLOP ${ms((s) => usefulTrainRatio(s, work)).toFixed(2)}; ` +
      `${recompute(!gradientCheckpointing)} ${ms((s) => otherTrainRatio(s, work)).toFixed(2)}`,
  ].join('\n');
}

export function memoryText(samples: readonly MemorySample[]): string {
  const mb = (pick: (s: MemorySample) => number): string => (medianOf(samples, pick) / 2 ** 20).toFixed(0);
  return `scoring memory above the loaded model: ${mb((s) => s.short)} MiB at 2048 tokens, ${mb((s) => s.long)} MiB at 8192`;
}

export function resultsText(results: Results): string {
  const rows = (Object.keys(GOALS) as GoalKey[]).map((key) => {
    const { what, limit, good } = GOALS[key];
    return `${key.padEnd(22)}${results[key].toFixed(3).padStart(8)}  ${good} ${String(limit).padEnd(5)} ${(isMet(key, results[key]) ? 'ok' : 'MISSED').padEnd(7)} ${what}`;
  });
  return rows.join('\n');
}

// --- internal ---

const recompute = (gradientCheckpointing: boolean): string =>
  gradientCheckpointing ? 'recomputing (gradient checkpointing)' : 'from kept residuals';

const decodeRate = (s: StepSample, work: StepWork): number => (work.decodeBytes * s.decodeSteps) / s.decode;

const gflops = (flop: number, ms: number): string => (flop / ms / 1e6).toFixed(1);

const columns = (name: string, ...cells: readonly string[]): string =>
  `${name.padEnd(48)}${cells.map((cell) => cell.padStart(9)).join('')}`.trimEnd();
