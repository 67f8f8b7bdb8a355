/**
 * Writes docs/metrics.md: every number that runs log. Knows Markdown and the table, no metric by name.
 */
import { METRICS, type Metric } from '../../src/metrics/table.ts';

export function metricsDocument(): string {
  return `${[
    '# Metrics',
    'Made from `src/metrics/table.ts` by `npx vitest run test/docs -u`. A test fails when it is stale.',
    'These numbers are in `logging.jsonl` and in TensorBoard, most of them as the mean over the steps since the last log. An evaluation logs its own with `eval_` before the name. NAME stands for a reward, a layer or a part of a step. [docs/formulas.md](formulas.md) has the formulas.',
    '## Those that a run is judged by',
    table(METRICS.filter(({ isMain }) => isMain)),
    '## Others',
    table(METRICS.filter(({ isMain }) => !isMain)),
  ].join('\n\n')}\n`;
}

// --- internal ---

const table = (metrics: readonly Metric[]): string =>
  [
    '| metric | meaning | unit | better |',
    '|---|---|---|---|',
    ...metrics.map(({ name, meaning, unit, better }) => `| \`${name}\` | ${meaning} | ${unit} | ${better ?? ''} |`),
  ].join('\n');
