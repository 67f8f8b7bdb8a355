/**
 * What a reward wants to know of attention, as data. Knows how it is written, not how it is measured.
 */
import { isInPrompt, isSpan, nameOfSpan, type Span } from './span.ts';

/** `'all'`, `'last 8'`, `'first 4'`, or layers counted from 0. A model with fewer layers gives all it has. */
export type Layers = 'all' | `last ${number}` | `first ${number}` | readonly number[];

/** Query heads counted from 0, the same in each layer, or by layer. */
export type HeadSet = readonly number[] | Readonly<Record<number, readonly number[]>>;

/** The attention that the tokens of a completion give to spans of columns. */
export interface AttentionNeed {
  readonly need: 'attention';
  readonly spans: readonly Span[];
  readonly layers: Layers;
  /** Null: the mean over all heads. */
  readonly heads: HeadSet | null;
  /** `token`: of each token; `completion`: the mean over its tokens. */
  readonly per: 'token' | 'completion';
  /** Leave out attention sinks: see `sinksOf`. */
  readonly withoutSinks: boolean;
  /** The key of what was measured in `kwargs.attention`. */
  readonly name: string;
}

/** The attention that the tokens of a completion give to each visual token. */
export interface AttentionMapNeed {
  readonly need: 'attention_map';
  readonly layers: Layers;
  readonly heads: HeadSet | null;
  readonly withoutSinks: boolean;
  readonly name: string;
}

export type MeasuredNeed = AttentionNeed | AttentionMapNeed;

/** What was measured of one completion of T tokens for an `AttentionNeed`. */
export interface SpanAttention {
  /** The layers, counted from 0. */
  readonly layers: readonly number[];
  /**
   * By name of the span (`nameOfSpan`): the attention that its columns get, the mean over the heads. [layers][T], or [layers][1]
   * for `per: 'completion'`. Null where there is no such span.
   */
  readonly masses: Readonly<Record<string, readonly Float32Array[] | null>>;
  /**
   * Number of columns of each span, for those of a region the sum of their shares; of the completion, as its last token sees it.
   * Sinks that are left out do not count; the mean over the layers.
   */
  readonly columns: Readonly<Record<string, number | null>>;
  /** Why a span is null: a clause that is the same for all completions with this fault. */
  readonly reasons: Readonly<Record<string, string>>;
}

/** What was measured of one completion of T tokens for an `AttentionMapNeed`. */
export interface ImageAttentionMap {
  readonly layers: readonly number[];
  /** Rows and columns of visual tokens of each image. */
  readonly grids: readonly (readonly [rows: number, columns: number])[];
  readonly imageTokens: number;
  /** Attention on each visual token, images one after another and each row by row; the mean over heads and layers. [T, image tokens] */
  readonly weights: Float32Array;
}

/** @returns the layers, ascending; a text if there are none: what is wrong */
export function resolveLayers(layers: Layers, numLayers: number): readonly number[] | string {
  const all = Array.from({ length: numLayers }, (_, layer) => layer);
  if (typeof layers === 'string') {
    const [which, count] = layers.split(' ');
    if (which === 'all') return all;
    return which === 'last' ? all.slice(-Number(count)) : all.slice(0, Number(count));
  }
  const missing = layers.find((layer) => layer >= numLayers);
  if (missing !== undefined)
    return `layer ${missing}, but the model has ${numLayers} layers with attention, counted from 0`;
  return [...new Set(layers)].sort((a, b) => a - b);
}

/** @returns the heads of a layer; null for all */
export function headsOf({ heads }: Pick<MeasuredNeed, 'heads'>, layer: number): readonly number[] | null {
  if (heads === null) return null;
  return isList(heads) ? heads : (heads[layer] ?? null);
}

/** Whether sums over the prompt's columns, which a fused forward yields without weights, are all that is needed. */
export function isProbed(need: MeasuredNeed): need is AttentionNeed {
  return (
    need.need === 'attention' &&
    need.heads === null &&
    !need.withoutSinks &&
    need.spans.every((span) => isInPrompt(span) || span === 'completion')
  );
}

export function isLayers(value: unknown): value is Layers {
  if (typeof value === 'string') return /^(all|(last|first) [1-9]\d{0,3})$/.test(value);
  return isIndexList(value);
}

export function isHeadSet(value: unknown): value is HeadSet {
  if (Array.isArray(value)) return isIndexList(value);
  if (typeof value !== 'object' || value === null) return false;
  const entries = Object.entries(value);
  return entries.length > 0 && entries.every(([layer, heads]) => /^\d{1,4}$/.test(layer) && isIndexList(heads));
}

export function isSpanList(value: unknown): value is readonly Span[] {
  return Array.isArray(value) && value.length > 0 && value.every(isSpan);
}

/** Equal for equal needs. */
export function nameOfNeed(
  need: Pick<AttentionMapNeed, 'layers' | 'heads' | 'withoutSinks'> & Partial<Pick<AttentionNeed, 'spans' | 'per'>>,
): string {
  const { spans, per, layers, heads, withoutSinks } = need;
  const what = spans === undefined ? 'map' : `${spans.map(nameOfSpan).join(', ')} per ${per}`;
  const which = typeof layers === 'string' ? layers : JSON.stringify(layers);
  return [
    what,
    `layers ${which}`,
    ...(heads === null ? [] : [`heads ${JSON.stringify(heads)}`]),
    ...(withoutSinks ? ['without sinks'] : []),
  ].join('; ');
}

// --- internal ---

const isList = (value: HeadSet): value is readonly number[] => Array.isArray(value);

function isIndexList(value: unknown): value is readonly number[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    new Set(value).size === value.length &&
    value.every((index) => Number.isSafeInteger(index) && index >= 0)
  );
}
