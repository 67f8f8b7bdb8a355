/**
 * Attention masses on the visual, the text and the system columns of prompts: the probe that a fused forward is given, and TDR from its
 * result. Knows token columns and numbers; knows neither the model that yields them nor rewards.
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
  readonly spans: typeof SPANS;
  /** Per prompt, [columns, 3]: 1 in the first place for a visual column, in the second for a text, in the third for a system one. */
  readonly indicators: readonly Float32Array[];
  /** The last `TDR_LAYERS` layers, or all if there are fewer; ascending. */
  readonly layers: readonly number[];
}

/** Visual, text and system columns. */
const SPANS = 3;

/** A completion as that forward returns it: layer -> [tokens, 3]. */
export interface MeasuredCompletion {
  readonly masses: ReadonlyMap<number, Float32Array>;
}

/**
 * The probe for a forward over groups of one prompt each.
 *
 * @param visualIds ids of image and video pad tokens
 */
export function massProbe(
  prompts: readonly ProbedPrompt[],
  visualIds: readonly number[],
  numLayers: number,
): MassProbe {
  const first = Math.max(0, numLayers - TDR_LAYERS);
  return {
    spans: SPANS,
    layers: Array.from({ length: numLayers - first }, (_, i) => first + i),
    indicators: prompts.map(({ ids, systemPrefix }) => {
      const { visual, text } = tdrSpans(ids, systemPrefix, 0, visualIds);
      const indicator = new Float32Array(SPANS * ids.length);
      for (const column of visual) indicator[SPANS * column] = 1;
      for (const column of text) indicator[SPANS * column + 1] = 1;
      for (let column = 0; column < systemPrefix; column++) indicator[SPANS * column + 2] = 1;
      return indicator;
    }),
  };
}

/**
 * Splits the masses of a completion that was measured with `massProbe` into its spans.
 *
 * @param completion masses: layer -> [tokens, 3]
 * @returns per layer [tokens]; null if nothing was measured
 */
export function massesOf({ masses }: MeasuredCompletion): AttentionMasses | null {
  if (masses.size === 0) return null;
  const layers = [...masses.values()];
  const span = (column: 0 | 1 | 2): Float32Array[] =>
    layers.map((layer) => Float32Array.from({ length: layer.length / SPANS }, (_, t) => layer[SPANS * t + column]!));
  return { visual: span(0), text: span(1), system: span(2) };
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
