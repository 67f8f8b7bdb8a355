/**
 * Where the time of a step goes, as numbers of its record: `step_time/rollout` and the like, in seconds.
 */
import type { Metrics, Phase } from './events.ts';

/** The phases of which a step consists; evaluations and saves are between steps. */
const PARTS: readonly Phase[] = [
  'data',
  'rollout',
  'forward',
  'reference',
  'changed image',
  'reward',
  'attention',
  'backward',
  'update',
];

/**
 * Seconds of each phase of a step; 0 for one that did not run, so that the means over steps add up to the mean of the step.
 *
 * @param before seconds of the run by phase, before the step; `after` likewise
 */
export function stepTimes(before: Readonly<Record<string, number>>, after: Readonly<Record<string, number>>): Metrics {
  return Object.fromEntries(PARTS.map((phase) => [nameOf(phase), (after[phase] ?? 0) - (before[phase] ?? 0)]));
}

/** Without the phases that ran in none of the steps: a run without a reference has no `step_time/reference`. */
export function withoutIdle(means: Metrics): Metrics {
  const names = new Set(PARTS.map(nameOf));
  return Object.fromEntries(Object.entries(means).filter(([name, value]) => value !== 0 || !names.has(name)));
}

// --- internal ---

const nameOf = (phase: Phase): string => `step_time/${phase.replaceAll(' ', '_')}`;
