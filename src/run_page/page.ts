/**
 * One HTML file about a run, of sightline or of ms-swift: it opens without a network or a server and holds no script.
 */
import { basename, resolve } from 'node:path';
import { verdictsOn } from '../doctor/diagnose.ts';
import { readRunLog } from '../doctor/run_log.ts';
import type { Verdict } from '../doctor/verdict.ts';
import { mainMetrics } from '../metrics/table.ts';
import { createCheckpointReader } from '../ui/checkpoints.ts';
import { createFence } from '../ui/inside.ts';
import { createRun } from '../ui/run.ts';
import { argumentTables } from './arguments.ts';
import { checkpointTable } from './checkpoints.ts';
import { folded, Html, html } from './html.ts';
import { curveFigures, metricTable } from './metrics.ts';
import { sampleSections } from './samples.ts';
import { STYLE } from './style.ts';
import { summaryList } from './summary.ts';

/**
 * @param dir folder of the run, finished or live
 * @param images whether small copies of the prompts' images go into the page
 * Errors: E_RUN_FOLDER for a folder that holds no run.
 */
export async function runPage(dir: string, { images }: { readonly images: boolean }): Promise<string> {
  const log = await readRunLog(dir);
  const path = resolve(dir);
  const fence = createFence([path]);
  const run = createRun({ id: '', name: basename(path), path }, fence);
  await run.poll();
  const args = (await run.args()) ?? {};
  const { metrics } = run;
  const main = mainMetrics(metrics.metrics());
  const others = metrics.metrics().filter((name) => !main.includes(name));
  const checkpoints = await createCheckpointReader(fence).of(run);
  const samples = await sampleSections(run, args, images);
  const title = `Run ${run.folder.name}`;
  const page = html`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${title}</title>
<style>${new Html(STYLE)}</style>
<main>
<h1>${title}</h1>
<section><h2>Summary</h2><div class="two">${summaryList(run.summary(), log, checkpoints)}${metricTable(metrics, main)}</div>
${folded(others, 'other metric', metricTable(metrics, others))}${folded(checkpoints.checkpoints, 'checkpoint', checkpointTable(checkpoints))}</section>
<section><h2>What the doctor says</h2>${verdictList(verdictsOn(log))}</section>
<section><h2>Curves</h2>${curveFigures(metrics, main)}</section>
<section><h2>Samples</h2>${samples.length === 0 ? html`<p class="faint">${NO_SAMPLES}</p>` : samples}</section>
<section><h2>Arguments</h2>${argumentTables(args)}</section>
</main>
</html>
`;
  return page.text;
}

// --- internal ---

const NO_SAMPLES = 'The run has no completions.jsonl, which rlhf writes with --log_completions true.';

function verdictList(verdicts: readonly Verdict[]): Html {
  if (verdicts.length === 0) return html`<p>Nothing found.</p>`;
  const items = verdicts.map(
    ({
      code,
      severity,
      seen,
      why,
      fix,
    }) => html`<li class="${severity}"><h3>${code} <span class="faint">${severity}</span></h3>
<dl><dt>seen</dt><dd>${seen}</dd><dt>why</dt><dd>${why}</dd><dt>fix</dt><dd>${fix}</dd></dl></li>`,
  );
  return html`<ul class="verdicts">${items}</ul>`;
}
