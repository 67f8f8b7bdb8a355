/**
 * Measures attention on spans from a completion's weights on all columns, layer by layer, and reads the same numbers from the masses
 * of a fused probe. Knows weights and columns, not the forward that yields them.
 */
import type { AttentionMapNeed, AttentionNeed, ImageAttentionMap, SpanAttention } from './need.ts';
import { imageColumns, promptColumns, type SpannedPrompt, type TokenKinds } from './prompt_columns.ts';
import { sinksOf } from './sinks.ts';
import { isInPrompt, nameOfSpan, type Span } from './span.ts';

/** Tokens [from, to) of a completion. */
export interface TokenRange {
  readonly from: number;
  readonly to: number;
}

/** A completion whose attention is measured. */
export interface SpannedCompletion {
  readonly prompt: SpannedPrompt;
  readonly kinds: TokenKinds;
  /** T */
  readonly tokens: number;
  /** The parts of the completion, null where it has none. Computed if a span asks for them. */
  readonly partsOf: () => Readonly<Record<'think' | 'answer', TokenRange | null>>;
}

/** Takes the weights of one layer after another, and gives what a need wants to know. */
export interface AttentionMeter<Result> {
  /** @param map mean over the heads that count: [T, prompt + T], later columns 0 */
  add(layer: number, map: Float32Array): void;
  result(): Result;
}

export function spanMeter(
  { spans, per, withoutSinks }: AttentionNeed,
  completion: SpannedCompletion,
): AttentionMeter<SpanAttention> {
  const { prompt, tokens } = completion;
  const columns = prompt.ids.length + tokens;
  const located = spans.map((span) => ({ name: nameOfSpan(span), weights: columnWeights(span, completion) }));
  const layers: number[] = [];
  const masses = located.map((): Float32Array[] => []);
  const counts = located.map(() => 0);
  return {
    add(layer, map) {
      layers.push(layer);
      const sinks = withoutSinks ? sinksOf(map, columns, prompt.ids.length) : NONE;
      for (const [s, { weights }] of located.entries()) {
        if (typeof weights === 'string') continue;
        const kept = [...weights.keys()].filter((column) => weights[column]! > 0 && !sinks.has(column));
        for (const column of kept) counts[s]! += weights[column]!;
        masses[s]!.push(
          perToken(tokens, (t) => {
            let sum = 0;
            for (const column of kept) sum += weights[column]! * map[t * columns + column]!;
            return sum;
          }),
        );
      }
    },
    result: () =>
      attentionOn(
        layers,
        located.map(({ name, weights }, s) =>
          typeof weights === 'string'
            ? { name, reason: weights }
            : { name, masses: masses[s]!.map((mass) => averaged(mass, per)), columns: counts[s]! / layers.length },
        ),
      ),
  };
}

export function mapMeter(
  { withoutSinks }: AttentionMapNeed,
  completion: SpannedCompletion,
): AttentionMeter<ImageAttentionMap> {
  const { prompt, kinds, tokens } = completion;
  const width = prompt.ids.length + tokens;
  const visual = imageColumns(prompt, kinds).flatMap((columns) => [...columns]);
  const sums = new Float64Array(tokens * visual.length);
  const layers: number[] = [];
  return {
    add(layer, map) {
      layers.push(layer);
      const sinks = withoutSinks ? sinksOf(map, width, prompt.ids.length) : NONE;
      for (const [i, column] of visual.entries()) {
        if (sinks.has(column)) continue;
        for (let t = 0; t < tokens; t++) sums[t * visual.length + i]! += map[t * width + column]!;
      }
    },
    result: () => ({
      layers,
      grids: prompt.grids,
      imageTokens: visual.length,
      weights: Float32Array.from(sums, (value) => value / layers.length),
    }),
  };
}

/** The weights of prompt columns for a fused probe; zeros where the prompt has no such span. The completion's mass is what the prompt leaves. */
export function probeColumns(span: Span, prompt: SpannedPrompt, kinds: TokenKinds): Float32Array {
  const weights = promptColumns(span === 'completion' ? 'prompt' : span, prompt, kinds);
  return typeof weights === 'string' ? new Float32Array(prompt.ids.length) : weights;
}

/**
 * What `spanMeter` would give, from the masses of a fused probe.
 *
 * @param massOf mass of the columns of the need's span number s: per token of a layer
 */
export function fromProbe(
  { spans, per }: AttentionNeed,
  completion: SpannedCompletion,
  layers: readonly number[],
  massOf: (layer: number, span: number, token: number) => number,
): SpanAttention {
  const { prompt, kinds, tokens } = completion;
  return attentionOn(
    layers,
    spans.map((span, s) => {
      const name = nameOfSpan(span);
      const weights = isInPrompt(span) ? promptColumns(span, prompt, kinds) : null;
      if (typeof weights === 'string') return { name, reason: weights };
      if (weights === null && tokens === 0) return { name, reason: EMPTY };
      const masses = layers.map((layer) =>
        perToken(tokens, (t) => (weights === null ? 1 - massOf(layer, s, t) : massOf(layer, s, t))),
      );
      return {
        name,
        masses: masses.map((mass) => averaged(mass, per)),
        columns: weights === null ? tokens : sum(weights),
      };
    }),
  );
}

// --- internal ---

const NONE: ReadonlySet<number> = new Set();
const EMPTY = 'the completion is empty';

type OnSpan = { readonly name: string } & (
  | { readonly masses: readonly Float32Array[]; readonly columns: number }
  | { readonly reason: string }
);

function attentionOn(layers: readonly number[], spans: readonly OnSpan[]): SpanAttention {
  const of = <T>(pick: (span: OnSpan) => T): Record<string, T> =>
    Object.fromEntries(spans.map((span) => [span.name, pick(span)]));
  return {
    layers,
    masses: of((span) => ('reason' in span ? null : span.masses)),
    columns: of((span) => ('reason' in span ? null : span.columns)),
    reasons: Object.fromEntries(spans.flatMap((span) => ('reason' in span ? [[span.name, span.reason]] : []))),
  };
}

/** Weights of all columns, [prompt + T], or the reason why there is no such span. */
function columnWeights(span: Span, { prompt, kinds, tokens, partsOf }: SpannedCompletion): Float32Array | string {
  const weights = new Float32Array(prompt.ids.length + tokens);
  if (isInPrompt(span)) {
    const own = promptColumns(span, prompt, kinds);
    if (typeof own === 'string') return own;
    weights.set(own);
    return weights;
  }
  if (tokens === 0) return EMPTY;
  const part = span === 'completion' ? { from: 0, to: tokens } : partsOf()[span as 'think' | 'answer'];
  if (part === null) return `the completion has no ${span === 'think' ? '<think> block' : 'answer'}`;
  weights.fill(1, prompt.ids.length + part.from, prompt.ids.length + part.to);
  return weights;
}

const perToken = (tokens: number, of: (token: number) => number): Float32Array =>
  Float32Array.from({ length: tokens }, (_, t) => of(t));

/** [T] as it is, or its mean as [1]; of no tokens, nothing. */
function averaged(mass: Float32Array, per: AttentionNeed['per']): Float32Array {
  return per === 'token' || mass.length === 0 ? mass : Float32Array.of(sum(mass) / mass.length);
}

const sum = (values: Float32Array): number => values.reduce((total, value) => total + value, 0);
