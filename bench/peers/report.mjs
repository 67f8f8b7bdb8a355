/**
 * Turns the runs into one table: medians, spread, and what the peers need over what sightline needs.
 */
import { titleOf } from './systems.mjs';

/** A step is quiet if no more cores than this were busy with other processes. */
const QUIET_CORES = 0.25;

export const isQuiet = (step) => step.otherCores <= QUIET_CORES;

/**
 * One line per system and setting: the quiet steps of its rounds together, or all of them if none was quiet.
 *
 * @param runs { system, visualTokens, attention, steps: { seconds, otherCores }[], peakBytes }
 */
export function summarise(runs, settings) {
  const rows = settings.map(({ system, visualTokens, attention }) => {
    const own = runs.filter(
      (run) => run.system === system && run.visualTokens === visualTokens && run.attention === attention,
    );
    const all = own.flatMap((run) => run.steps);
    const quiet = all.filter(isQuiet);
    const used = quiet.length > 0 ? quiet : all;
    const seconds = used.map((step) => step.seconds);
    return {
      system,
      visualTokens,
      attention,
      stepSeconds: median(seconds),
      fastest: Math.min(...seconds),
      slowest: Math.max(...seconds),
      steps: used.length,
      stepsRun: all.length,
      peakGiB: Math.max(...own.map((run) => run.peakBytes)) / 2 ** 30,
      otherCores: median(used.map((step) => step.otherCores)),
    };
  });
  return rows.map((row) => {
    const ours = rows.find(
      ({ system, visualTokens, attention }) =>
        system === 'sightline' && visualTokens === row.visualTokens && attention === row.attention,
    );
    if (ours === undefined) return row;
    return { ...row, timeRatio: row.stepSeconds / ours.stepSeconds, memoryRatio: row.peakGiB / ours.peakGiB };
  });
}

/** The table in Markdown. */
export function tableOf(rows) {
  const header = [
    'visual tokens',
    'attention reward',
    'system',
    's/step',
    'fastest to slowest',
    'steps used',
    'peak GiB',
    'time / sightline',
    'memory / sightline',
    'cores busy elsewhere',
  ];
  const lines = rows.map((row) => [
    row.visualTokens,
    row.attention,
    titleOf(row.system),
    row.stepSeconds.toFixed(2),
    `${row.fastest.toFixed(2)} to ${row.slowest.toFixed(2)}`,
    `${row.steps} of ${row.stepsRun}`,
    row.peakGiB.toFixed(2),
    row.timeRatio?.toFixed(2) ?? '',
    row.memoryRatio?.toFixed(2) ?? '',
    row.otherCores.toFixed(2),
  ]);
  return [header, header.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

// --- internal ---

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
