/**
 * `--attn_probe`: TDR from an eager forward of its own, or from sums that the fused forward makes anyway; and how `auto`,
 * which compares the two before it trusts the cheaper one, comes to its verdict. Knows ratios, not the forwards.
 */
import { isTdr, type TdrResult } from './tdr.ts';

/** Where ratios come from; `auto`: both at first, then `fused` if they agree, else `eager`. */
export const ATTN_PROBES = ['eager', 'fused', 'auto'] as const;
export type AttnProbe = (typeof ATTN_PROBES)[number];

/** Largest relative difference of TDR between an eager forward and the fused probe that passes for rounding. */
export const PROBE_TOLERANCE = 1e-3;

export interface CrossCheck {
  readonly agrees: boolean;
  /** In words, without a verdict. */
  readonly text: string;
}

/** The way of one run, as far as it is known. */
export interface ProbeChoice {
  /** How the next completions are measured. */
  way(): 'eager' | 'fused' | 'both';
  /**
   * Completions that were measured both ways; decides on the way from now on.
   *
   * @param fused in the order of `eager`; null where the fused forward measured nothing
   * @returns null if nothing could be compared, and nothing is decided
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

/** How far the fused probe is from the eager forward, relative to it; infinite where only one of them has a value. */
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
  const samples = `${differences.length} ${differences.length === 1 ? 'sample' : 'samples'}`;
  return {
    agrees: largest <= PROBE_TOLERANCE,
    text: `largest relative difference of TDR, fused against eager: ${largest.toExponential(2)} over ${samples}`,
  };
}
