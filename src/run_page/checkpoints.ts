/**
 * The checkpoints of a run as a table.
 */
import type { Checkpoints } from '../ui/api.ts';
import { type Html, html } from './html.ts';
import { numberCells } from './numbers.ts';

export function checkpointTable({ metric, checkpoints }: Checkpoints): Html {
  const values = numberCells(checkpoints.map(({ value }) => value));
  const rows = checkpoints.map(
    ({ name, isBest, isLast }, i) =>
      html`<tr><th scope="row">${name}</th><td>${values[i]!}</td><td>${[isBest ? 'best' : '', isLast ? 'last' : ''].filter(Boolean).join(', ')}</td></tr>`,
  );
  return html`<table class="numbers"><thead><tr><th></th><th>${metric ?? ''}</th><th></th></tr></thead><tbody>${rows}</tbody></table>`;
}
