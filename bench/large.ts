/**
 * A GRPO step of LoRA on a model with the shapes of Qwen2.5-VL-3B, for each way of keeping its frozen weights.
 * Knows processes and their reports; large_child.ts measures.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { QuantisationError } from './quantisation.ts';

/** Stored weights first: the numbers of quantised ones are compared with theirs. */
export const LARGE_FORMS = ['bf16', '8', '4'] as const;
export type LargeForm = (typeof LARGE_FORMS)[number];

/** FLOP and bytes per millisecond. */
export interface MachineRates {
  /** Of the products of a forward and of its gradient by activations. */
  readonly sgemm: number;
  /** Of reading memory in a product with one row. */
  readonly stream: number;
}

/** Times in milliseconds, memory in bytes, rates in bytes or FLOP per millisecond. */
export interface LargeReport {
  readonly form: LargeForm;
  readonly load: readonly number[];
  readonly read: number;
  readonly promptTokens: number;
  readonly parts: Readonly<
    Record<'vision' | 'prefill' | 'decode' | 'forward' | 'reward' | 'backward' | 'optimiser', number>
  >;
  readonly decodeSteps: number;
  /** That a decode step reads. */
  readonly decodeBytes: number;
  readonly flop: Readonly<Record<'vision' | 'prefill' | 'forward' | 'backward', number>>;
  /** Of the machine, around each of these parts. */
  readonly rates: Readonly<Record<'vision' | 'prefill' | 'decode' | 'forward' | 'backward', MachineRates>>;
  /** Resident memory once weights are read, and its peak. */
  readonly loaded: number;
  readonly peak: number;
  /** Largest and root of the mean squared difference of log-probabilities between sampling and the forward after it. */
  readonly sampling: { readonly largest: number; readonly rms: number };
  /** Of quantised weights beside those that are stored; null for the latter. */
  readonly quantisation: QuantisationError | null;
}

/** The built file in the same folder. */
const CHILD = fileURLToPath(new URL('./large_child.js', import.meta.url));

/** @param numbers a file for the numbers of the stored weights: the first form writes it, the others read it */
export async function measureLarge(model: string, form: LargeForm, numbers: string): Promise<LargeReport> {
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, model, form, numbers], { maxBuffer: 2 ** 24 });
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as LargeReport;
}

type Floors = Readonly<Record<keyof LargeReport['rates'], number>>;

/** What parts would take if products ran at the rate of bare ones, and decoding at that of streaming its weights. */
function floorsOf({ flop, rates, decodeBytes, decodeSteps }: LargeReport): Floors {
  return {
    vision: flop.vision / rates.vision.sgemm,
    prefill: flop.prefill / rates.prefill.sgemm,
    decode: (decodeBytes * decodeSteps) / rates.decode.stream,
    forward: flop.forward / rates.forward.sgemm,
    backward: flop.backward / rates.backward.sgemm,
  };
}

export function largeText(report: LargeReport): string {
  const { form, parts, rates, decodeBytes, decodeSteps, load, loaded, peak, sampling, quantisation } = report;
  const floors = floorsOf(report);
  const seconds = (ms: number): string => (ms / 1e3).toFixed(2).padStart(9);
  const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(2);
  const line = (name: keyof Floors): string => {
    const { sgemm, stream } = rates[name];
    const rate = name === 'decode' ? `${(stream / 1e6).toFixed(1)} GB/s` : `${(sgemm / 1e6).toFixed(0)} GFLOP/s`;
    return `${name.padEnd(12)}${seconds(parts[name])}${seconds(floors[name])}  at ${rate}`;
  };
  const total = (values: Readonly<Record<string, number>>): number =>
    Object.values(values).reduce((sum, ms) => sum + ms, 0);
  const trained = (floors.forward + floors.backward) / (parts.forward + parts.backward);
  return [
    `frozen weights: ${form === 'bf16' ? 'as stored, bf16' : `${form} bits`}; prompt of ${report.promptTokens} tokens; load average ${load.map((each) => each.toFixed(1)).join(', ')}`,
    `${'part'.padEnd(12)}${'s'.padStart(9)}${'floor'.padStart(9)}`,
    ...(['vision', 'prefill', 'decode', 'forward'] as const).map(line),
    `${'reward'.padEnd(12)}${seconds(parts.reward)}`,
    line('backward'),
    `${'optimiser'.padEnd(12)}${seconds(parts.optimiser)}`,
    `${'step'.padEnd(12)}${seconds(total(parts))}${seconds(total(floors))}`,
    `a decode step reads ${(decodeBytes / 1e9).toFixed(2)} GB in ${(parts.decode / decodeSteps).toFixed(0)} ms`,
    `training products over SGEMM ${trained.toFixed(2)}, decode over stream ${(floors.decode / parts.decode).toFixed(2)}`,
    `memory: ${gib(loaded)} GiB once read (${seconds(report.read).trim()} s), peak ${gib(peak)} GiB`,
    `log-probabilities of sampled tokens, sampling against the forward: largest difference ${sampling.largest.toExponential(1)}, rms ${sampling.rms.toExponential(1)}`,
    ...(quantisation === null ? [] : [quantisationText(quantisation)]),
  ].join('\n');
}

// --- internal ---

const quantisationText = ({ logps, ratios }: QuantisationError): string =>
  `quantised against stored weights: log-probabilities ${logps.largest.toExponential(1)} at most, rms ${logps.rms.toExponential(1)}; text-dominance ratios ${percent(ratios.largest)} at most, rms ${percent(ratios.rms)}`;

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
