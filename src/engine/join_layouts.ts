/**
 * Joins the layouts of several images, which a tower takes one after another, into one.
 * Knows runs and orders, not which architecture made them.
 */
import type { VisionLayout, WindowRun } from '../models/architecture.ts';
import type { AngleTable } from '../nn/rope.ts';

/** The layout of images that follow one another. Adjacent runs of windows of one size become one run. */
export function joinLayouts(layouts: readonly VisionLayout[]): VisionLayout {
  const [first] = layouts as [VisionLayout];
  if (layouts.length === 1) return first;
  const starts = offsets(layouts.map(({ patches }) => patches));
  const tokenStarts = offsets(layouts.map(({ tokens }) => tokens.length));
  const shifted = (pick: (layout: VisionLayout) => Int32Array, by: readonly number[]): Int32Array =>
    Int32Array.from(layouts.flatMap((layout, i) => Array.from(pick(layout), (place) => place + by[i]!)));
  const runs = (name: string): WindowRun[] =>
    mergeRuns(
      layouts.flatMap((layout, i) => layout.runs[name]!.map((run) => ({ ...run, start: run.start + starts[i]! }))),
    );
  const mapKeys = <T>(record: Readonly<Record<string, unknown>>, map: (name: string) => T): Record<string, T> =>
    Object.fromEntries(Object.keys(record).map((name) => [name, map(name)]));
  const { tables } = first;
  return {
    patches: layouts.reduce((sum, { patches }) => sum + patches, 0),
    order: shifted(({ order }) => order, starts),
    inverse: shifted(({ inverse }) => inverse, starts),
    tokens: shifted(({ tokens }) => tokens, tokenStarts),
    runs: mapKeys(first.runs, runs),
    angles: joinAngles(layouts.map(({ angles }) => angles)),
    ...(tables === undefined
      ? {}
      : { tables: mapKeys(tables, (name) => joined(layouts.map((l) => l.tables![name]!))) }),
  };
}

// --- internal ---

/** Where each part starts when parts of these lengths follow one another. */
function offsets(lengths: readonly number[]): number[] {
  let next = 0;
  return lengths.map((length) => {
    const start = next;
    next += length;
    return start;
  });
}

function mergeRuns(runs: readonly WindowRun[]): WindowRun[] {
  const merged: WindowRun[] = [];
  for (const run of runs) {
    const last = merged.at(-1);
    if (last !== undefined && last.size === run.size && last.start + last.windows * last.size === run.start) {
      merged[merged.length - 1] = { ...last, windows: last.windows + run.windows };
    } else merged.push(run);
  }
  return merged;
}

const joinAngles = (tables: readonly AngleTable[]): AngleTable => ({
  cos: joined(tables.map(({ cos }) => cos)),
  sin: joined(tables.map(({ sin }) => sin)),
  rows: tables.reduce((sum, { rows }) => sum + rows, 0),
  half: tables[0]!.half,
});

/** Arrays of one kind, one after another. */
function joined<T extends Float32Array | Int32Array>(parts: readonly T[]): T {
  const [first] = parts as [T];
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const whole = (first instanceof Int32Array ? new Int32Array(length) : new Float32Array(length)) as T;
  let next = 0;
  for (const part of parts) {
    whole.set(part, next);
    next += part.length;
  }
  return whole;
}
