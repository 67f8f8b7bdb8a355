/**
 * Attention masses on the visual and the text columns of prompts: what to ask a fused forward for, and TDR from its answer.
 * Knows token columns and numbers, not the model that yields them, and no rewards.
 */
import { isTdr, TDR_LAYERS, type TdrResult, type TdrSpans, tdrFromMasses, tdrSpans } from './tdr.ts';

/** A prompt whose columns are measured. */
export interface ProbedPrompt {
  readonly promptIds: Int32Array;
  /** Tokens of the system block at its start; they count neither as visual nor as text. */
  readonly systemPrefix: number;
}

/** What a forward over these prompts is asked to measure, in the form the model's `score` takes. */
export interface TdrProbe {
  readonly spans: 2;
  /** Per prompt, [columns, 2]: 1 in the first place for a visual column, in the second for a text column. */
  readonly indicators: readonly Float32Array[];
  /** The last `TDR_LAYERS` layers, or all if there are fewer; ascending. */
  readonly layers: readonly number[];
}

/**
 * The probe of a forward over groups, one prompt each.
 *
 * @param visualIds ids of image and video pad tokens
 */
export function tdrProbe(prompts: readonly ProbedPrompt[], visualIds: readonly number[], numLayers: number): TdrProbe {
  const first = Math.max(0, numLayers - TDR_LAYERS);
  return {
    spans: 2,
    layers: Array.from({ length: numLayers - first }, (_, i) => first + i),
    indicators: prompts.map(({ promptIds, systemPrefix }) => {
      const { visual, text } = tdrSpans(promptIds, systemPrefix, 0, visualIds);
      const indicator = new Float32Array(2 * promptIds.length);
      for (const column of visual) indicator[2 * column] = 1;
      for (const column of text) indicator[2 * column + 1] = 1;
      return indicator;
    }),
  };
}

/**
 * TDR of one completion from the masses its forward measured.
 *
 * @param scored layer -> [tokens, 2], as asked for by `tdrProbe`
 * @param spans the prompt's columns
 */
export function tdrOfScored(
  scored: { readonly masses: ReadonlyMap<number, Float32Array> },
  spans: Pick<TdrSpans, 'visual' | 'text'>,
): TdrResult {
  if (scored.masses.size === 0) throw new Error('internal: TDR of a forward without a probe');
  const layers = [...scored.masses.values()];
  const span = (which: 0 | 1): Float32Array[] =>
    layers.map((masses) => Float32Array.from({ length: masses.length / 2 }, (_, t) => masses[2 * t + which]!));
  return tdrFromMasses({ visual: span(0), text: span(1) }, spans.visual.length, spans.text.length);
}

/** Largest relative difference of TDR between an eager forward and the fused probe that passes for rounding. */
export const PROBE_TOLERANCE = 1e-3;

/** How far the fused probe is from the eager forward, relative to it; infinite where only one of them has a value. */
export function probeDifference(eager: TdrResult, fused: TdrResult): number {
  if (!isTdr(eager) || !isTdr(fused)) return isTdr(eager) === isTdr(fused) ? 0 : Number.POSITIVE_INFINITY;
  return Math.abs(fused.tdr - eager.tdr) / Math.abs(eager.tdr);
}
