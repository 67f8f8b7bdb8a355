/**
 * Formats the report: the machine, the steps part by part, and the numbers with their goals.
 */
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { runtimeVersion } from '../src/runtime/session.ts';
import {
  floorTime,
  GOALS,
  type GoalKey,
  isMet,
  isRecorded,
  type MemorySample,
  type Results,
  type StepSample,
  type StepSeries,
  stepTime,
  trainFlop,
  trainRatio,
  VARIANTS,
  type Variant,
  type VariantSample,
} from './goals.ts';
import { LONG, SHORT } from './memory.ts';
import { medianOf } from './statistics.ts';

/** One-minute load average. */
export const currentLoad = (): number => loadavg()[0]!;

/** @param loads load averages over the run */
export async function machineText(loads: readonly number[]): Promise<string> {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  const memory = Math.round(totalmem() / 2 ** 30);
  return [
    new Date().toISOString().slice(0, 10),
    `${model}, ${availableParallelism()} hardware threads, ${memory} GiB`,
    `Node ${process.versions.node}, ${await runtimeVersion()} with its own choice of threads (one per core)`,
    `load average during the benchmark: ${loads.map((load) => load.toFixed(1)).join(', ')}`,
  ].join('\n');
}

/** One step part by part, then the parts that differ in other variants and with the attention reward. All are medians. */
export function stepText({ visualTokens, variant, work, samples }: StepSeries, promptTokens: number): string {
  const ms = (pick: (s: StepSample) => number): number => medianOf(samples, pick);
  const partOf = (which: Variant, part: keyof VariantSample): number => ms((s) => s.variants[which][part]);
  const rolloutFlop = work.prefillFlop + work.decodeFlop;
  const forwardFlop = (which: Variant): number => (isRecorded(which) ? 0 : work.forwardFlop);
  const backwardFlop = (which: Variant): number => work.backwardFlop + work.recomputedFlop[which];
  const stepLine = (which: Variant): Line => {
    const time = ms((s) => stepTime(s, which));
    return line('step', time, work.visionFlop + rolloutFlop + trainFlop(work, which));
  };
  const floor = ms((s) => floorTime(s, work, variant));
  const lines: Line[] = [
    ['part', 'ms', 'GFLOP', 'GFLOP/s'],
    line(
      'vision',
      medianOf(samples, ({ vision }) => vision),
      work.visionFlop,
    ),
    line('rollout', partOf(variant, 'rollout'), rolloutFlop),
    line('  prefill', partOf(variant, 'prefill'), work.prefillFlop),
    line('  decode', partOf(variant, 'decode'), work.decodeFlop),
    line('forward', partOf(variant, 'forward'), forwardFlop(variant)),
    line('reward', partOf(variant, 'reward')),
    line('backward', partOf(variant, 'backward'), backwardFlop(variant)),
    line(
      'optimiser',
      medianOf(samples, ({ optimiser }) => optimiser),
    ),
    stepLine(variant),
    line('its floor', floor),
    ['with the attention reward:'],
    ...(['rollout', 'forward', 'reward'] as const).map((part) =>
      line(
        part,
        ms((s) => s.attention[part]),
      ),
    ),
    ...VARIANTS.filter((which) => which !== variant).flatMap((which): Line[] => [
      [`if ${MEANING[which]}:`],
      line('rollout', partOf(which, 'rollout'), rolloutFlop),
      line('forward', partOf(which, 'forward'), forwardFlop(which)),
      line('backward', partOf(which, 'backward'), backwardFlop(which)),
      stepLine(which),
    ]),
  ];
  const decodeStep = ms((s) => s.variants[variant].decode / s.variants[variant].decodeSteps);
  const ratios = VARIANTS.filter((which) => !isRecorded(which)).map((which) => {
    const ratio = ms((s) => trainRatio(s, work, which));
    const useful = (ratio * (work.forwardFlop + work.backwardFlop)) / trainFlop(work, which);
    return `${which} ${ratio.toFixed(2)} (${useful.toFixed(2)} without what is computed twice)`;
  });
  const rate = (pick: (s: StepSample) => number, digits: number): string => (ms(pick) / 1e6).toFixed(digits);
  return [
    `${visualTokens} visual tokens, prompt of ${promptTokens}; ${MEANING[variant]}`,
    ...lines.map(columns),
    `SGEMM ${rate((s) => s.sgemmRate, 0)} GFLOP/s, stream ${rate((s) => s.streamRate, 1)} GB/s`,
    `a decode step: ${decodeStep.toFixed(2)} ms, ${(work.decodeBytes / 1e6).toFixed(0)} MB of weights, ${(work.decodeBytes / decodeStep / 1e6).toFixed(1)} GB/s`,
    `forward + backward over SGEMM: ${ratios.join(', ')}`,
  ].join('\n');
}

export function memoryText(samples: readonly MemorySample[]): string {
  const mib = (pick: (s: MemorySample) => number): string => (medianOf(samples, pick) / 2 ** 20).toFixed(0);
  return `scoring memory above the loaded model: ${mib((s) => s.short)} MiB at ${SHORT} tokens, ${mib((s) => s.long)} MiB at ${LONG}`;
}

export function resultsText(results: Results): string {
  const rows = (Object.keys(GOALS) as GoalKey[]).map((key) => {
    const { what, limit, good } = GOALS[key];
    const verdict = isMet(key, results[key]) ? 'ok' : 'missed';
    return `${key.padEnd(22)}${results[key].toFixed(3).padStart(8)}  ${good.padEnd(8)} ${String(limit).padEnd(5)} ${verdict.padEnd(7)} ${what}`;
  });
  return rows.join('\n');
}

// --- internal ---

const MEANING: Readonly<Record<Variant, string>> = {
  recompute: 'backward recomputes (gradient checkpointing)',
  residuals: 'backward takes kept residuals (no gradient checkpointing)',
  recorded: 'rollout keeps what backward needs (no training forward)',
  'recorded residuals': 'rollout keeps results of products as well (no training forward, no gradient checkpointing)',
};

/** A name and its cells. */
type Line = readonly [string, ...string[]];

function line(name: string, ms: number, flop?: number): Line {
  if (!flop) return [name, ms.toFixed(1)];
  return [name, ms.toFixed(1), (flop / 1e9).toFixed(2), (flop / ms / 1e6).toFixed(1)];
}

const columns = ([name, ...cells]: Line): string =>
  `${name.padEnd(cells.length === 0 ? 0 : 16)}${cells.map((cell) => cell.padStart(10)).join('')}`;
