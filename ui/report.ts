/**
 * One file that holds what the screen shows of runs: facts, different arguments and charts. It needs neither this page nor a
 * network, and has no script.
 */
import { getJson } from './data.ts';
import { duration, number } from './format.ts';
import type { ShownRun } from './runs_view.tsx';
import { saveFile } from './save.ts';

type Args = Readonly<Record<string, unknown>>;

/** Saves the charts that are drawn now; sections that were never opened have none. */
export async function saveReport(shown: readonly ShownRun[]): Promise<void> {
  const args = await Promise.all(shown.map(({ run }) => getJson<{ args: Args | null }>(`/api/runs/${run.id}/args`)));
  const page = document.implementation.createHTMLDocument(
    `Runs, ${new Date().toISOString().slice(0, 16).replace('T', ' ')}`,
  );
  const add = (parent: Node, tag: string, text = ''): HTMLElement => {
    // Everything that runs contain goes in as text.
    const element = page.createElement(tag);
    element.textContent = text;
    parent.appendChild(element);
    return element;
  };
  const table = (head: readonly string[], rows: readonly (readonly string[])[]): void => {
    const element = add(page.body, 'table');
    for (const [tag, cells] of [['th', head] as const, ...rows.map((row) => ['td', row] as const)]) {
      const line = add(element, 'tr');
      for (const cell of cells) add(line, tag, cell);
    }
  };
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  const css = `body{font:14px/1.5 system-ui,sans-serif;color:${colour('--ink')};background:${colour('--ground')};max-width:1100px;margin:32px auto;padding:0 20px}
table{border-collapse:collapse;margin:8px 0 24px}th,td{text-align:left;vertical-align:top;padding:4px 16px 4px 0;border-bottom:1px solid ${colour('--line')};overflow-wrap:anywhere}
figure{display:inline-block;margin:0 20px 20px 0;vertical-align:top}figcaption{font-weight:600}img{max-width:340px;display:block}h2{font-size:16px}`;
  page.head.insertBefore(page.createElement('meta'), page.head.firstChild).setAttribute('charset', 'utf-8');
  add(page.body, 'h1', page.title);
  table(
    ['run', 'state', 'step', 'time', 'best metric', 'best checkpoint', 'model'],
    shown.map(({ run }) => [
      run.name,
      run.state,
      `${run.step ?? '–'} / ${run.maxSteps ?? '–'}`,
      run.end?.runtime == null ? '–' : duration(run.end.runtime),
      number(run.end?.bestMetric),
      run.end?.bestCheckpoint ?? '–',
      run.model ?? '–',
    ]),
  );
  const names = [...new Set(args.flatMap((each) => Object.keys(each.args ?? {})))].filter(
    (name) => name !== '_sightline',
  );
  const cells = names.map((name) => [name, ...args.map((each) => JSON.stringify(each.args?.[name]) ?? '–')]);
  add(page.body, 'h2', shown.length > 1 ? 'Different arguments' : 'Arguments');
  table(
    ['argument', ...shown.map(({ run }) => run.name)],
    cells.filter(([, ...values]) => shown.length < 2 || new Set(values).size > 1),
  );
  add(page.body, 'h2', 'Curves');
  for (const chart of document.querySelectorAll('.chart')) {
    const canvas = chart.querySelector('canvas');
    if (canvas === null) continue;
    const figure = add(page.body, 'figure');
    add(figure, 'figcaption', chart.querySelector('.chart-title')?.textContent ?? '');
    add(figure, 'img').setAttribute('src', canvas.toDataURL('image/png'));
    for (const line of chart.querySelectorAll('.legend li')) {
      const entry = add(
        figure,
        'div',
        `${line.querySelector('.name')?.textContent}: ${line.querySelector('b')?.textContent}`,
      );
      entry.style.borderLeft = `10px solid ${getComputedStyle(line.querySelector('i')!).backgroundColor}`;
      entry.style.paddingLeft = '8px';
    }
  }
  // The style goes in as text, because this page's content security policy holds for documents that it makes as well.
  const html = page.documentElement.outerHTML.replace('</head>', () => `<style>${css}</style></head>`);
  saveFile('runs.html', new Blob([`<!doctype html>${html}`], { type: 'text/html' }));
}
