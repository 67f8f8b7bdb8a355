/**
 * How metrics began and ended, as a table, and their course, as curves.
 */

import { metricOf } from '../metrics/table.ts';
import type { MetricLog } from '../ui/metric_log.ts';
import { curveSvg } from './curve_svg.ts';
import { type Html, html } from './html.ts';
import { numberCells } from './numbers.ts';

export function metricTable(log: MetricLog, names: readonly string[]): Html {
  const ends = names.map((name) => {
    const known = log.values(name).values.filter((value) => value !== null);
    return { first: known[0] ?? null, last: known.at(-1) ?? null };
  });
  const first = numberCells(ends.map((end) => end.first));
  const last = numberCells(ends.map((end) => end.last));
  const rows = names.map(
    (name, i) =>
      html`<tr><th scope="row" title="${aboutOf(name)}">${name}${mark(name)}</th><td>${first[i]!}</td><td>${last[i]!}</td></tr>`,
  );
  return html`<table class="numbers"><thead><tr><th></th><th>first</th><th>last</th></tr></thead><tbody>${rows}</tbody></table>`;
}

export function curveFigures(log: MetricLog, names: readonly string[]): Html {
  const figures = names.map(
    (name) =>
      html`<figure><figcaption title="${aboutOf(name)}">${name}${mark(name)}</figcaption>${curveSvg(log.curve('', name, SMOOTHING, POINTS))}</figure>`,
  );
  return html`<div class="curves">${figures}</div>`;
}

// --- internal ---

/** Unit, and an arrow to where it is better. */
function mark(name: string): Html {
  const metric = metricOf(name);
  const words = [metric?.unit ?? '', metric?.better === 'higher' ? '↑' : metric?.better === 'lower' ? '↓' : ''];
  const text = words.filter((word) => word !== '').join(' ');
  return text === '' ? html`` : html` <span class="faint">${text}</span>`;
}

const aboutOf = (name: string): string => metricOf(name)?.meaning ?? '';

const SMOOTHING = 0.8;
const POINTS = 600;
