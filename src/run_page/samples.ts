/**
 * The best and the worst completion of each of the last logged steps, with image, rewards and target.
 */
import type { AlphaMode } from '../data/rgb.ts';
import { ranked, totalReward, weightsOf } from '../report/ranking.ts';
import { cutText } from '../report/text.ts';
import { readGroup } from '../ui/group_view.ts';
import type { Run } from '../ui/run.ts';
import type { JsonObject } from '../util/json.ts';
import { type Html, html } from './html.ts';
import { numberCells } from './numbers.ts';
import { picturesOf } from './pictures.ts';

/** @param images whether the prompts' images are read and shown */
export async function sampleSections(run: Run, args: JsonObject, images: boolean): Promise<Html[]> {
  const alpha: AlphaMode = args.image_alpha === 'drop' ? 'drop' : 'white';
  const sections = [];
  for (const [step, rows] of lastSteps(run)) {
    const totals = totalsOf(run, rows, args);
    const order = ranked(totals);
    if (order.length === 0) {
      sections.push(html`<h3>Step ${step}</h3><p class="faint">No completion of ${rows.length} has a reward.</p>`);
      continue;
    }
    const [best, worst] = [order[0]!, order.at(-1)!];
    const isFlat = totals[best] === totals[worst];
    const kinds: [string, number][] = isFlat
      ? [['first', best]]
      : [
          ['best', best],
          ['worst', worst],
        ];
    const cards = [];
    for (const [kind, i] of kinds) cards.push(await card(run, kind, rows[i]!, totals[i]!, images ? alpha : null));
    const note = isFlat
      ? order.length === 1
        ? 'the only completion with a reward'
        : `all ${order.length} completions have the same reward`
      : `${order.length} completions with a reward`;
    sections.push(html`<h3>Step ${step} <span class="faint">${note}</span></h3><div class="cards">${cards}</div>`);
  }
  return sections;
}

// --- internal ---

const STEPS = 3;
/** Most characters of a text. */
const LONGEST = 4000;

/** The last steps that have completions, the newest first, with the numbers of these. */
function lastSteps(run: Run): [number, number[]][] {
  const steps = new Map<number, number[]>();
  for (const { step, rows } of run.table.groups) {
    if (Number.isFinite(step)) steps.set(step, [...(steps.get(step) ?? []), ...rows]);
  }
  return [...steps].sort(([a], [b]) => b - a).slice(0, STEPS);
}

function totalsOf(run: Run, rows: readonly number[], args: JsonObject): (number | null)[] {
  const rewards = run.table.columns().filter(({ kind }) => kind === 'reward');
  const weights = weightsOf(args.reward_weights, rewards.length);
  return rows.map((row) =>
    totalReward(
      rewards.map(({ name }) => run.table.value(name, row)),
      weights,
    ),
  );
}

async function card(run: Run, kind: string, row: number, total: number, alpha: AlphaMode | null): Promise<Html> {
  const group = await readGroup(run, run.table.groupOf(row));
  const completion = group?.completions.find(({ id }) => id === row);
  if (group === null || completion === undefined)
    return html`<article><p class="faint">The completion is no longer in completions.jsonl.</p></article>`;
  const pictures = alpha === null ? [] : await picturesOf(run, group, row, alpha);
  const columns = run.table.columns();
  const values = numberCells([total, ...completion.values]);
  const names = ['reward, in sum', ...columns.map(({ name }) => name)];
  const numbers = names.map((name, i) => html`<tr><th scope="row">${name}</th><td>${values[i]!}</td></tr>`);
  const solution = group.solution === null ? '' : html`<dt>target</dt><dd>${cutText(group.solution, LONGEST)}</dd>`;
  const clipped = completion.clipped === true ? html` <span class="faint">(cut off by the length limit)</span>` : '';
  return html`<article>
<h4>${kind}</h4>
<div class="pictures">${pictures}</div>
<dl><dt>question</dt><dd>${cutText(group.question, LONGEST)}</dd><dt>completion</dt><dd class="text">${cutText(completion.text, LONGEST)}${clipped}</dd>${solution}</dl>
<table class="numbers">${numbers}</table>
</article>`;
}
