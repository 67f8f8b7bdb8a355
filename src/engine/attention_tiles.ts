/**
 * Attention tile by tile: which parts of a group are cut, where, and what a tile is fed. Memory is linear in length.
 */
import type { Heads } from '../nn/attention.ts';
import type { FloatTensor, Tensor } from '../runtime/tensor.ts';
import { counting } from '../util/index_lists.ts';
import {
  type Cut,
  columnPositions,
  indicatorTensor,
  type Measured,
  type Projections,
  vector,
} from './attention_feeds.ts';
import { longestCompletion, type PackedGroup, type Span } from './packed.ts';
import { piecesOf } from './row_chunks.ts';
import { RUN_FLOP } from './run_limits.ts';

/** Most rows of a tile. */
const TILE = 256;

/** Query rows of one run, and the rows whose keys they attend to. */
export interface Tile {
  /** Query rows of this tile, in the packed batch. */
  readonly rows: Span;
  /** Rows of the same sequence up to the tile's end: its columns. */
  readonly columns: Span;
  readonly prefix: Span | null;
}

/** Which parts of a group go tile by tile. */
export interface TiledParts {
  readonly prompt: boolean;
  readonly completions: boolean;
}

/**
 * @param options.all every part; otherwise those whose single product would run too long
 * @param options.times FLOP of the run, in forwards
 */
export function tiledParts(
  { prompt, completions, completionRows }: PackedGroup,
  heads: Heads,
  { all, times = 1 }: { readonly all: boolean; readonly times?: number },
): TiledParts {
  const isLong = (queries: number, columns: number): boolean =>
    all || times * scoreFlop(heads, columns) * queries > RUN_FLOP;
  const longest = longestCompletion({ completions });
  return {
    prompt: isLong(prompt.length, prompt.length),
    completions: isLong(completionRows.length, prompt.length + longest),
  };
}

/** FLOP of one query row in all heads: its products with keys and with values. */
const scoreFlop = ({ heads, headDim }: Heads, columns: number): number => 4 * heads * headDim * columns;

export function tilesOf(group: PackedGroup, parts: TiledParts, heads: Heads, times = 1): Tile[] {
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

export function tileFeeds(
  { rows: span, columns, prefix }: Tile,
  { q, k, v }: Projections,
  empty: FloatTensor,
  cut: Cut,
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

export function tileIndicator({ columns, prefix }: Tile, measured: Measured | undefined): Record<string, Tensor> {
  if (measured === undefined) return {};
  return { indicator: indicatorTensor(measured, (prefix?.length ?? 0) + columns.length) };
}
