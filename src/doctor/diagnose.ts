/**
 * Why is a reward 0, null or constant, why is nothing learned? The verdicts on a run, from its files.
 */
import { attentionVerdicts } from './checks/attention.ts';
import { rewardVerdicts } from './checks/rewards.ts';
import { trainingVerdicts } from './checks/training.ts';
import { type RunLog, readRunLog } from './run_log.ts';
import { bySeverity, type Verdict } from './verdict.ts';

/** Verdicts on the run in a folder, the most severe first. Errors: those of `readRunLog`. */
export async function diagnoseRun(dir: string): Promise<Verdict[]> {
  return verdictsOn(await readRunLog(dir));
}

export function verdictsOn(log: RunLog): Verdict[] {
  return bySeverity([...attentionVerdicts(log), ...rewardVerdicts(log), ...trainingVerdicts(log)]);
}

/** A verdict in four lines, for a terminal. */
export function verdictText({ code, severity, seen, why, fix }: Verdict): string {
  return `${severity === 'severe' ? 'SEVERE ' : severity === 'warning' ? 'warning' : 'note   '} ${code}\n  seen: ${seen}\n  why:  ${why}\n  fix:  ${fix}`;
}
