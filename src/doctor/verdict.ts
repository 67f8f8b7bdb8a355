/**
 * A verdict: what was seen in a run, why it matters, and what mends it.
 */

/** `severe`: nothing is learned, or not what was meant. `warning`: something is lost. `note`: looks wrong but is not. */
export type Severity = 'severe' | 'warning' | 'note';

export interface Verdict {
  /** A stable name for programs. */
  readonly code: VerdictCode;
  readonly severity: Severity;
  /** With the number, and the step or row. */
  readonly seen: string;
  readonly why: string;
  /** The flag or line to change. */
  readonly fix: string;
}

export const VERDICT_CODES = [
  'NO_ATTENTION',
  'ATTENTION_IMPL',
  'NO_IMAGE_TOKENS',
  'IMAGE_MISSING',
  'MISSING_COLUMN',
  'PLUGIN_THREW',
  'PLUGIN_TIMEOUT',
  'ALL_NULL',
  'FORMAT_NO_MATCH',
  'ANSWER_UNPARSED',
  'ALL_TRUNCATED',
  'GROUP_STD_ZERO',
  'REWARDS_CANCEL',
  'WEIGHT_ZERO',
  'CLAMPED',
  'NONFINITE',
  'GROUP_NORM_MEAN',
  'HACKED',
] as const;
export type VerdictCode = (typeof VERDICT_CODES)[number];

const RANK: Readonly<Record<Severity, number>> = { severe: 0, warning: 1, note: 2 };

/** The most severe first; equal ones stay in their order. */
export function bySeverity(verdicts: readonly Verdict[]): Verdict[] {
  return [...verdicts].sort((a, b) => RANK[a.severity] - RANK[b.severity]);
}
