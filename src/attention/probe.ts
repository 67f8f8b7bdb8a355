/**
 * Attention masses on the visual, the text and the system columns of prompts, and on further spans: the probe that a fused forward is
 * given, and TDR from its result. Knows token columns and numbers; knows neither the model that yields them nor rewards.
 */
import { type AttentionMasses, TDR_LAYERS, type TdrResult, type TdrSpans, tdrFromMasses, tdrSpans } from './tdr.ts';

/** A prompt whose columns are measured. */
export interface ProbedPrompt {
  /** [tokens] */
  readonly ids: Int32Array;
  /** Number of tokens of the system block at its start; they count neither as visual nor as text. */
  readonly systemPrefix: number;
}

/** What a forward over these prompts measures, in the form that the model's `score` takes. */
export interface MassProbe {
  readonly spans: number;
  /**
   * Per prompt, [columns, spans]: 1 in the first place for a visual column, in the second for a text, in the third for a system one;
   * then the weights of further spans.
   */
  readonly indicators: readonly Float32Array[];
  /** Ascending; the last `TDR_LAYERS` layers, or all if there are fewer, are among them. */
  readonly layers: readonly number[];
}

/** Further spans to measure. */
export interface ProbedSpans {
  readonly layers: readonly number[];
  /** Number of spans. */
  readonly count: number;
  /** The weights of each span's columns in a prompt. [count][columns] */
  readonly columnsOf: (prompt: number) => readonly Float32Array[];
}

/** Visual, text and system columns come first. */
const SPANS = 3;

/** A completion as that forward returns it. */
export interface MeasuredCompletion {
  /** [tokens] */
  readonly ids: ArrayLike<number>;
  /** Layer -> [tokens, spans], layers ascending. */
  readonly masses: ReadonlyMap<number, Float32Array>;
}

/**
 * The probe for a forward over groups of one prompt each.
 *
 * @param visualIds ids of image and video pad tokens
 * @param more further spans, which `spanMasses` numbers in this order
 */
export function massProbe(
  prompts: readonly ProbedPrompt[],
  visualIds: readonly number[],
  numLayers: number,
  more: readonly ProbedSpans[] = [],
): MassProbe {
  const first = Math.max(0, numLayers - TDR_LAYERS);
  const last = Array.from({ length: numLayers - first }, (_, i) => first + i);
  const spans = more.reduce((sum, { count }) => sum + count, SPANS);
  return {
    spans,
    layers: [...new Set([...last, ...more.flatMap(({ layers }) => layers)])].sort((a, b) => a - b),
    indicators: prompts.map(({ ids, systemPrefix }, prompt) => {
      const { visual, text } = tdrSpans(ids, systemPrefix, 0, visualIds);
      const indicator = new Float32Array(spans * ids.length);
      for (const column of visual) indicator[spans * column] = 1;
      for (const column of text) indicator[spans * column + 1] = 1;
      for (let column = 0; column < systemPrefix; column++) indicator[spans * column + 2] = 1;
      for (const [s, weights] of more.flatMap(({ columnsOf }) => columnsOf(prompt)).entries()) {
        for (const [column, weight] of weights.entries()) indicator[spans * column + SPANS + s] = weight;
      }
      return indicator;
    }),
  };
}

/**
 * Splits the masses of a completion that was measured with `massProbe` into image, text and system block.
 *
 * @returns of the last `TDR_LAYERS` layers, each [tokens]; null if nothing was measured
 */
export function massesOf({ ids, masses }: MeasuredCompletion): AttentionMasses | null {
  if (masses.size === 0) return null;
  const layers = [...masses.values()].slice(-TDR_LAYERS);
  const tokens = ids.length;
  const span = (column: 0 | 1 | 2): Float32Array[] =>
    layers.map((layer) => {
      const spans = tokens === 0 ? 0 : layer.length / tokens;
      return Float32Array.from({ length: tokens }, (_, t) => layer[spans * t + column]!);
    });
  return { visual: span(0), text: span(1), system: span(2) };
}

/** The mass of a further span, by layer, place of the span and token. */
export function spanMasses({
  ids,
  masses,
}: MeasuredCompletion): (layer: number, span: number, token: number) => number {
  return (layer, span, token) => {
    const measured = masses.get(layer);
    if (measured === undefined) throw new Error(`internal: layer ${layer} was not measured`);
    return measured[(measured.length / ids.length) * token + SPANS + span]!;
  };
}

/**
 * TDR of one completion from the masses its forward measured.
 *
 * @param spans the prompt's columns
 */
export function tdrOfScored(scored: MeasuredCompletion, spans: Pick<TdrSpans, 'visual' | 'text'>): TdrResult {
  const masses = massesOf(scored);
  if (masses === null) throw new Error('internal: TDR of a forward without a probe');
  return tdrFromMasses(masses, spans.visual.length, spans.text.length);
}
