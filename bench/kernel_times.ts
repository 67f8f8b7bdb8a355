/**
 * When a device computed: the times of single kernels, which it takes with its own clock and ONNX Runtime writes to a file for
 * each session. Knows these files, not what is computed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Milliseconds of a clock. */
export interface Interval {
  readonly from: number;
  readonly to: number;
}

export interface TimedKernel extends Interval {
  /** Begins with the name of the node: if that is an output of its graph, with the output's. */
  readonly name: string;
}

/** The kernels of all sessions that have written their times to this folder, in order, by the device's clock. */
export function timedKernels(folder: string): TimedKernel[] {
  return readdirSync(folder)
    .flatMap((file) => {
      const events = JSON.parse(readFileSync(join(folder, file), 'utf8')) as {
        cat: string;
        name: string;
        ts: number;
        dur: number;
      }[];
      return events
        .filter(({ cat }) => cat === 'Api') // nodes and sessions are timed too, by the process's clock
        .map(({ name, ts, dur }) => ({ name, from: ts / 1000, to: (ts + dur) / 1000 }));
    })
    .sort((a, b) => a.from - b.from);
}

/** How much of a span is covered by intervals in order, in milliseconds; where they overlap, once. */
export function covered(intervals: readonly Interval[], span: Interval): number {
  let [sum, end] = [0, span.from];
  for (const { from, to } of intervals) {
    const until = Math.min(to, span.to);
    sum += Math.max(0, until - Math.max(from, end));
    end = Math.max(end, until);
  }
  return sum;
}
