/**
 * Runs attention over a packed batch with the implementation asked for, forward and backward.
 * `eager` and `sdpa` take each group in two products, unless they are too long; `flash_attention_2` goes tile by tile,
 * memory linear in length.
 */
import type { Heads } from '../nn/attention.ts';
import { causalAttention, sharedPromptAttention, tiledAttention } from '../nn/attention_modules.ts';
import { createModuleCache } from '../runtime/compiled_module.ts';
import type { RuntimeOptions } from '../runtime/session.ts';
import { type FloatTensor, floats, ints, rows, type Tensor } from '../runtime/tensor.ts';
import { longestCompletion, type PackedBatch, type PackedGroup, type Span } from './packed.ts';
import { piecesOf } from './row_chunks.ts';
import { BACKWARD, RUN_FLOP } from './run_limits.ts';

export type AttentionImplementation = 'eager' | 'sdpa' | 'flash_attention_2';

export interface Projections {
  /** [N, heads * d], [N, kvHeads * d], [N, kvHeads * d] */
  readonly q: FloatTensor;
  readonly k: FloatTensor;
  readonly v: FloatTensor;
}

/** Spans of prompt columns whose attention mass is measured, per group: indicator[column * spans + span] is 1 or 0. */
export interface Probe {
  readonly spans: number;
  readonly indicators: readonly Float32Array[];
}

export interface AttendOptions {
  readonly implementation: AttentionImplementation;
  /** Masses [C, spans] of all completion rows in packed order are written here. */
  readonly probe?: { readonly probe: Probe; readonly masses: FloatTensor };
}

export interface TextAttention {
  /** Writes attention's result for every row into `o` [N, heads * d]. */
  forward(batch: PackedBatch, projections: Projections, o: FloatTensor, options: AttendOptions): Promise<void>;
  /** The same for a batch of prompts only, and the weights [heads, S, S] of each: what `output_attentions` asks for. */
  forwardWithWeights(batch: PackedBatch, projections: Projections, o: FloatTensor): Promise<FloatTensor[]>;
  /** Writes cotangents of q, k, v given that of o. */
  backward(
    batch: PackedBatch,
    projections: Projections,
    dO: FloatTensor,
    into: Projections,
    implementation: AttentionImplementation,
  ): Promise<void>;
  release(): Promise<void>;
}

/** Most rows of a tile. */
const TILE = 256;

export function createTextAttention(heads: Heads, runtime: RuntimeOptions = {}): TextAttention {
  const modules = createModuleCache(runtime);
  const causal = () => modules.get('causal', () => causalAttention(heads));
  const weighted = () => modules.get('weighted', () => causalAttention(heads, { weights: true }));
  const shared = (spans: number) =>
    modules.get(`shared ${spans}`, () => sharedPromptAttention(heads, { spans }), {
      from: ['out'],
      accumulateInputs: ['kPrefix', 'vPrefix'],
    });
  const tiled = (spans: number) =>
    modules.get(`tiled ${spans}`, () => tiledAttention(heads, { spans }), {
      from: ['out'],
      accumulateInputs: ['k', 'v', 'kPrefix', 'vPrefix'],
    });
  const empty = floats(new Float32Array(0), [0, heads.kvHeads * heads.headDim]);

  return {
    async forward(batch, projections, o, { implementation, probe }) {
      let completionRow = 0;
      const groups =
        implementation === 'flash_attention_2' || probe !== undefined ? batch.groups : sideBySide(batch.groups);
      for (const [g, group] of groups.entries()) {
        const { prompt, completionRows } = group;
        const measured =
          probe === undefined || group.completions.length === 0
            ? undefined
            : {
                spans: probe.probe.spans,
                indicator: probe.probe.indicators[g]!,
                masses: rows(probe.masses, completionRow, completionRow + completionRows.length),
              };
        const inTiles = tiledParts(group, heads, implementation);
        for (const tile of tilesOf(group, inTiles, heads)) {
          const masses = tile.prefix === null ? undefined : measured;
          const local = tile.rows.start - completionRows.start;
          await tiled(masses?.spans ?? 0).forward(
            { ...tileFeeds(tile, projections, empty), ...tileIndicator(tile, masses) },
            {
              out: cut(o, tile.rows),
              ...(masses === undefined ? {} : { masses: rows(masses.masses, local, local + tile.rows.length) }),
            },
          );
        }
        if (prompt.length > 0 && !inTiles.prompt) {
          await causal().forward(causalFeeds(prompt, projections), { out: cut(o, prompt) });
        }
        if (completionRows.length > 0 && !inTiles.completions) {
          await shared(measured?.spans ?? 0).forward(
            { ...sharedFeeds(group, projections), ...sharedIndicator(group, measured) },
            { out: cut(o, completionRows), ...(measured === undefined ? {} : { masses: measured.masses }) },
          );
        }
        completionRow += completionRows.length;
      }
    },

    async forwardWithWeights(batch, projections, o) {
      const weights: FloatTensor[] = [];
      for (const { prompt } of batch.groups) {
        const result = await weighted().forward(causalFeeds(prompt, projections), { out: cut(o, prompt) });
        weights.push(result.weights!);
      }
      return weights;
    },

    async backward(batch, projections, dO, into, implementation) {
      const groups = implementation === 'flash_attention_2' ? batch.groups : sideBySide(batch.groups);
      for (const group of groups) {
        const { prompt, completionRows } = group;
        const inTiles = tiledParts(group, heads, implementation, BACKWARD);
        if (prompt.length > 0 && !inTiles.prompt) {
          await causal().backward(
            { ...causalFeeds(prompt, projections), 'd.out': cut(dO, prompt) },
            { 'd.q': cut(into.q, prompt), 'd.k': cut(into.k, prompt), 'd.v': cut(into.v, prompt) },
          );
        }
        // Tiles add to what their columns have got so far; the products of a whole prompt have set it.
        for (const { data } of [into.k, into.v].flatMap((d) => [
          ...(inTiles.prompt ? [cut(d, prompt)] : []),
          ...(inTiles.completions ? [cut(d, completionRows)] : []),
        ])) {
          data.fill(0);
        }
        for (const tile of tilesOf(group, inTiles, heads, BACKWARD)) {
          const dK = cut(into.k, tile.columns);
          const dV = cut(into.v, tile.columns);
          const dKPrefix = tile.prefix === null ? empty : cut(into.k, tile.prefix);
          const dVPrefix = tile.prefix === null ? empty : cut(into.v, tile.prefix);
          await tiled(0).backward(
            {
              ...tileFeeds(tile, projections, empty),
              'd.out': cut(dO, tile.rows),
              'acc.k': dK,
              'acc.v': dV,
              'acc.kPrefix': dKPrefix,
              'acc.vPrefix': dVPrefix,
            },
            {
              'd.q': cut(into.q, tile.rows),
              'grad.k': dK,
              'grad.v': dV,
              'grad.kPrefix': dKPrefix,
              'grad.vPrefix': dVPrefix,
            },
          );
        }
        if (completionRows.length === 0 || inTiles.completions) continue;
        const dKPrompt = cut(into.k, prompt);
        const dVPrompt = cut(into.v, prompt);
        await shared(0).backward(
          {
            ...sharedFeeds(group, projections),
            'd.out': cut(dO, completionRows),
            'acc.kPrefix': dKPrompt,
            'acc.vPrefix': dVPrompt,
          },
          {
            'd.q': cut(into.q, completionRows),
            'd.k': cut(into.k, completionRows),
            'd.v': cut(into.v, completionRows),
            'grad.kPrefix': dKPrompt,
            'grad.vPrefix': dVPrompt,
          },
        );
      }
    },

    release: () => modules.release(),
  };
}

// --- internal ---

interface Measured {
  readonly spans: number;
  readonly indicator: Float32Array;
  readonly masses: FloatTensor;
}

/** Scores of a rectangle of sequences, per head: bounds its memory, padding included. */
const RECTANGLE_SCORES = 2 ** 20;
/** A rectangle of sequences over what they would take without padding. */
const MOST_PADDING = 2;

/**
 * The groups as they are run. A prompt alone, or with one completion right behind it, is one causal sequence; neighbours
 * of that kind lie side by side in one run, as completions of an empty prompt.
 */
function sideBySide(groups: readonly PackedGroup[]): PackedGroup[] {
  const runs: PackedGroup[] = [];
  let waiting: Span[] = [];
  let longest = 0;
  let scores = 0; // of the sequences themselves, padding left out
  const flush = (): void => {
    const [first] = waiting;
    if (first === undefined) return;
    const length = waiting.reduce((sum, span) => sum + span.length, 0);
    const end = first.start + length;
    runs.push(
      waiting.length === 1
        ? { prompt: first, completions: [], completionRows: { start: end, length: 0 } }
        : {
            prompt: { start: first.start, length: 0 },
            completions: waiting,
            completionRows: { start: first.start, length },
          },
    );
    waiting = [];
    longest = 0;
    scores = 0;
  };
  for (const group of groups) {
    if (group.completions.length > 1) {
      flush();
      runs.push(group);
      continue;
    }
    const length = group.prompt.length + group.completionRows.length;
    const rectangle = (waiting.length + 1) * Math.max(longest, length) ** 2;
    if (rectangle > RECTANGLE_SCORES || rectangle > MOST_PADDING * (scores + length ** 2)) flush();
    waiting.push({ start: group.prompt.start, length });
    longest = Math.max(longest, length);
    scores += length ** 2;
  }
  flush();
  return runs;
}

const cut = (tensor: FloatTensor, { start, length }: Span): FloatTensor => rows(tensor, start, start + length);

const counting = (length: number, from = 0): Int32Array => Int32Array.from({ length }, (_, i) => from + i);

const vector = (data: Int32Array): Tensor => ints(data, [data.length]);

/** Positions of columns: -1 for a prefix that every row sees, then 0, 1, 2, … */
function columnPositions(prefix: number, own: number): Tensor {
  const positions = new Int32Array(prefix + own).fill(-1, 0, prefix);
  for (let i = 0; i < own; i++) positions[prefix + i] = i;
  return vector(positions);
}

function causalFeeds(prompt: Span, { q, k, v }: Projections): Record<string, Tensor> {
  const positions = vector(counting(prompt.length));
  return {
    q: cut(q, prompt),
    k: cut(k, prompt),
    v: cut(v, prompt),
    rowPositions: positions,
    columnPositions: positions,
  };
}

function sharedFeeds(group: PackedGroup, { q, k, v }: Projections): Record<string, Tensor> {
  const { prompt, completions, completionRows } = group;
  const longest = longestCompletion(group);
  // Gaps of the rectangle hold row 0: computed, and read by nobody.
  const filled = new Float32Array(completions.length * longest);
  const index = new Int32Array(completions.length * longest);
  const inverse = new Int32Array(completionRows.length);
  completions.forEach(({ start, length }, i) => {
    for (let t = 0; t < length; t++) {
      index[i * longest + t] = start - completionRows.start + t;
      filled[i * longest + t] = 1;
      inverse[start - completionRows.start + t] = i * longest + t;
    }
  });
  return {
    q: cut(q, completionRows),
    k: cut(k, completionRows),
    v: cut(v, completionRows),
    kPrefix: cut(k, prompt),
    vPrefix: cut(v, prompt),
    index: ints(index, [completions.length, longest]),
    filled: floats(filled, [completions.length, longest]),
    inverse: vector(inverse),
    rowPositions: vector(counting(longest)),
    columnPositions: columnPositions(prompt.length, longest),
  };
}

function sharedIndicator(group: PackedGroup, measured: Measured | undefined): Record<string, Tensor> {
  if (measured === undefined) return {};
  const columns = group.prompt.length + longestCompletion(group);
  return { indicator: indicatorTensor(measured, columns) };
}

/** The prompt's indicator, with zeros for the completion's own columns. */
function indicatorTensor({ spans, indicator }: Measured, columns: number): FloatTensor {
  const data = new Float32Array(columns * spans);
  data.set(indicator);
  return floats(data, [columns, spans]);
}

interface Tile {
  /** Query rows of this tile, in the packed batch. */
  readonly rows: Span;
  /** Rows of the same sequence up to the tile's end: its columns. */
  readonly columns: Span;
  readonly prefix: Span | null;
}

/** Which parts of a group go tile by tile: all with flash, else those whose product would be too long a run. */
interface TiledParts {
  readonly prompt: boolean;
  readonly completions: boolean;
}

function tiledParts(
  { prompt, completions, completionRows }: PackedGroup,
  heads: Heads,
  implementation: AttentionImplementation,
  times = 1,
): TiledParts {
  const flash = implementation === 'flash_attention_2';
  const isLong = (queries: number, columns: number): boolean =>
    flash || times * scoreFlop(heads, columns) * queries > RUN_FLOP;
  const longest = longestCompletion({ completions });
  return {
    prompt: isLong(prompt.length, prompt.length),
    completions: isLong(completionRows.length, prompt.length + longest),
  };
}

/** FLOP of one query row in all heads: its products with keys and with values. */
const scoreFlop = ({ heads, headDim }: Heads, columns: number): number => 4 * heads * headDim * columns;

function tilesOf(group: PackedGroup, parts: TiledParts, heads: Heads, times = 1): Tile[] {
  const split = (sequence: Span, prefix: Span | null): Tile[] => {
    const columns = (prefix?.length ?? 0) + sequence.length;
    const most = Math.max(1, Math.min(TILE, Math.floor(RUN_FLOP / (times * scoreFlop(heads, columns)))));
    return piecesOf(sequence.length, most).map(({ start, end }) => ({
      rows: { start: sequence.start + start, length: end - start },
      columns: { start: sequence.start, length: end },
      prefix,
    }));
  };
  return [
    ...(parts.prompt ? split(group.prompt, null) : []),
    ...(parts.completions ? group.completions.flatMap((completion) => split(completion, group.prompt)) : []),
  ];
}

function tileFeeds(
  { rows: span, columns, prefix }: Tile,
  { q, k, v }: Projections,
  empty: FloatTensor,
): Record<string, Tensor> {
  return {
    q: cut(q, span),
    k: cut(k, columns),
    v: cut(v, columns),
    kPrefix: prefix === null ? empty : cut(k, prefix),
    vPrefix: prefix === null ? empty : cut(v, prefix),
    rowPositions: vector(counting(span.length, span.start - columns.start)),
    columnPositions: columnPositions(prefix?.length ?? 0, columns.length),
  };
}

function tileIndicator({ columns, prefix }: Tile, measured: Measured | undefined): Record<string, Tensor> {
  if (measured === undefined) return {};
  return { indicator: indicatorTensor(measured, (prefix?.length ?? 0) + columns.length) };
}
