/**
 * `--attn_probe`: TDR comes from a separate eager forward, or from sums that the fused forward computes anyway. `auto`
 * compares the two and then uses the cheaper one if they agree. Knows ratios, not the forwards.
 */
import { plural } from '../util/plural.ts';
import { isTdr, type TdrResult } from './tdr.ts';

/** Where ratios come from. `auto`: from both at first, then `fused` if they agree, else `eager`. */
export const ATTN_PROBES = ['eager', 'fused', 'auto'] as const;
export type AttnProbe = (typeof ATTN_PROBES)[number];

/** Largest relative difference of TDR between an eager forward and the fused probe that counts as rounding. */
export const PROBE_TOLERANCE = 1e-3;

export interface CrossCheck {
  readonly agrees: boolean;
  /** The difference in words, without a verdict. */
  readonly text: string;
}

/** How one run measures its completions; decided as soon as both ways have been compared. */
export interface ProbeChoice {
  /** How the next completions are measured. */
  way(): 'eager' | 'fused' | 'both';
  /**
   * Compares completions that were measured both ways, and decides how to measure from now on.
   *
   * @param fused in the order of `eager`; null where the fused forward measured nothing
   * @returns null if nothing could be compared; then nothing is decided
   */
  compare(eager: readonly TdrResult[], fused: readonly (TdrResult | null)[]): CrossCheck | null;
}

export function createProbeChoice(attnProbe: AttnProbe): ProbeChoice {
  let way: ReturnType<ProbeChoice['way']> = attnProbe === 'auto' ? 'both' : attnProbe;
  return {
    way: () => way,
    compare(eager, fused) {
      const check = crossCheck(eager, fused);
      if (check !== null) way = check.agrees ? 'fused' : 'eager';
      return check;
    },
  };
}

/** Relative difference of the fused probe from the eager forward; infinite if only one of them has a value. */
export function probeDifference(eager: TdrResult, fused: TdrResult): number {
  if (!isTdr(eager) || !isTdr(fused)) return isTdr(eager) === isTdr(fused) ? 0 : Number.POSITIVE_INFINITY;
  return Math.abs(fused.tdr - eager.tdr) / Math.abs(eager.tdr);
}

// --- internal ---

function crossCheck(eager: readonly TdrResult[], fused: readonly (TdrResult | null)[]): CrossCheck | null {
  const differences = eager.flatMap((result, i) => {
    const other = fused[i] ?? null;
    return isTdr(result) && other !== null ? [probeDifference(result, other)] : [];
  });
  if (differences.length === 0) return null;
  const largest = differences.reduce((a, b) => Math.max(a, b), 0);
  const samples = plural(differences.length, 'sample');
  return {
    agrees: largest <= PROBE_TOLERANCE,
    text: `largest relative difference of TDR, fused against eager: ${largest.toExponential(2)} over ${samples}`,
  };
}
