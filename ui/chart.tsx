/**
 * A chart over the steps: lines, or bars that are stacked. Drawn by uPlot; the cursor follows the mouse or the arrow keys.
 */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import uPlot, { type AlignedData, type Options, type Series } from 'uplot';
import type { Metric } from '../src/metrics/table.ts';
import { csvText } from '../src/util/csv.ts';
import { number } from './format.ts';
import { fileName, saveFile, savePng } from './save.ts';

export interface Line {
  readonly label: string;
  readonly colour: string;
  readonly steps: readonly number[];
  readonly values: readonly (number | null)[];
  /** Drawn on top, with `values` faint behind it; absent without smoothing. */
  readonly smooth?: readonly (number | null)[];
}

export interface ChartProps {
  readonly title: string;
  /** What is drawn, if it is a metric that is known. */
  readonly about?: Pick<Metric, 'meaning' | 'unit' | 'better'>;
  readonly lines: readonly Line[];
  readonly isDark: boolean;
  /** Address of all values as CSV; absent to save what is drawn. */
  readonly csv?: string;
  /** Charts with the same key share their cursor and their zoom. */
  readonly sync?: string;
  readonly range?: readonly [number, number];
  /** Draws bars, the first line at the bottom. All lines have the same steps and no value below 0. */
  readonly isStacked?: boolean;
}

export function Chart({ title, about, lines, isDark, csv, sync, range, isStacked = false }: ChartProps) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [shown, setShown] = useState<number | null>(null);
  const isSmooth = lines.some((line) => line.smooth !== undefined);
  const data = useMemo(() => dataOf(lines), [lines]);
  const drawn = useMemo(() => (isStacked ? stacked(data) : data), [data, isStacked]);
  const shape = lines.map(({ label, colour, smooth }) => `${label}|${colour}|${smooth !== undefined}`).join('\n');

  // New data goes into the same plot, below.
  useEffect(() => {
    const element = frame.current!;
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue('--faint').trim();
    const grid = style.getPropertyValue('--line').trim();
    const bars: Series[] = lines.map(({ label, colour }) => ({
      label,
      fill: colour,
      width: 0,
      paths: uPlot.paths.bars!({ size: [0.9, 48] }),
      points: { show: false },
    }));
    const curves: Series[] = lines.flatMap(({ label, colour, smooth }) => {
      const one = { label, stroke: colour, spanGaps: false, points: { show: false } };
      if (smooth === undefined) return [{ ...one, width: 1.75 }];
      return [
        { ...one, stroke: `${colour}40`, width: 1 },
        { ...one, width: 2 },
      ];
    });
    const axis = { stroke: ink, font: '11px system-ui, sans-serif', ticks: { show: false } };
    const options: Options = {
      width: element.clientWidth,
      height: HEIGHT,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: {
        points: isStacked ? { show: false } : { size: 7 },
        y: false,
        focus: { prox: -1 },
        ...(sync !== undefined && { sync: { key: sync, setSeries: false } }),
      },
      scales: {
        x: { time: false, ...(isStacked && { range: withHalfBars }) },
        y: { range: range !== undefined ? ([...range] as [number, number]) : isStacked ? fromZero : yRange },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 26,
          values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? tick : '')) as string[],
        },
        { ...axis, grid: { stroke: grid, width: 1 }, size: 48, values: (_, ticks) => ticks.map(tickText) },
      ],
      series: [{}, ...(isStacked ? bars.reverse() : curves)],
      hooks: { setCursor: [(u) => setShown(u.cursor.idx ?? null)] },
    };
    const made = new uPlot(options, drawn, element);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape, isDark, sync, isStacked]);

  useEffect(() => plot.current?.setData(drawn), [drawn]);

  function moveTo(index: number): void {
    const u = plot.current!;
    const clamped = Math.max(0, Math.min(data[0].length - 1, index));
    const left = u.valToPos(data[0][clamped]!, 'x');
    u.setCursor({ left, top: u.height / 2 });
  }

  function onKeyDown(event: KeyboardEvent): void {
    const at = shown ?? data[0].length - 1;
    const moves: Record<string, number> = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: data[0].length - 1 };
    if (event.key in moves) moveTo(moves[event.key]!);
    else if (event.key === 'p') png();
    else if (event.key === 'c') saveCsv();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  const png = (): void => savePng(fileName(title, 'png'), plot.current!.ctx.canvas, title);
  function saveCsv(): void {
    if (csv !== undefined) {
      const link = document.createElement('a');
      link.href = csv;
      link.download = fileName(title, 'csv');
      link.click();
      return;
    }
    const rows = lines.flatMap(({ label, steps, values }) =>
      steps.map((step, i) => [csvText(label), step, values[i] ?? ''].join(',')),
    );
    saveFile(fileName(title, 'csv'), new Blob([['line,step,value', ...rows, ''].join('\r\n')], { type: 'text/csv' }));
  }

  const at = shown ?? lastIndex(data);
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title" title={about === undefined ? title : `${title}: ${about.meaning}`}>
          {title}
        </span>
        {about !== undefined && (about.unit !== '' || about.better !== null) && (
          <span class="chart-unit" title={about.better === null ? '' : `${about.better} is better`}>
            {about.unit} {about.better === 'higher' ? '↑' : about.better === 'lower' ? '↓' : ''}
          </span>
        )}
        <span class="chart-step">{data[0].length === 0 ? 'no values' : `step ${number(data[0][at] ?? null)}`}</span>
        <span class="chart-tools">
          <button type="button" class="quiet" onClick={saveCsv} title="All values as CSV (c)">
            CSV
          </button>
          <button type="button" class="quiet" onClick={png} title="Picture (p)">
            PNG
          </button>
        </span>
      </figcaption>
      <div
        class="plot"
        ref={frame}
        tabIndex={0}
        role="slider"
        aria-label={title}
        aria-valuemin={data[0][0] ?? 0}
        aria-valuemax={data[0].at(-1) ?? 0}
        aria-valuenow={data[0][at] ?? 0}
        aria-valuetext={`step ${data[0][at] ?? 'none'}`}
        onKeyDown={onKeyDown}
      />
      <ul class="legend">
        {lines.map(({ label, colour }, i) => (
          <li key={label}>
            <i style={{ background: colour }} />
            <span class="name" title={label}>
              {label}
            </span>
            <b>{number(valueNear(data[isSmooth ? 2 * i + 1 : i + 1]!, at))}</b>
          </li>
        ))}
      </ul>
    </figure>
  );
}

// --- internal ---

const HEIGHT = 168;

/** All lines over the union of their steps. */
function dataOf(lines: readonly Line[]): AlignedData {
  const tables = lines.map(
    ({ steps, values, smooth }) => [steps, values, ...(smooth === undefined ? [] : [smooth])] as unknown as AlignedData,
  );
  if (tables.length === 0) return [[]];
  return tables.length === 1 ? tables[0]! : uPlot.join(tables);
}

/** The sums from the bottom up, the highest first: each bar is drawn over those that are higher. */
function stacked([steps, ...values]: AlignedData): AlignedData {
  const sums: number[][] = [];
  for (const column of values) {
    const below = sums.at(-1);
    sums.push(Array.from(column, (value, i) => (below?.[i] ?? 0) + (value ?? 0)));
  }
  return [steps, ...sums.reverse()];
}

/** Half a bar more on both sides, because a bar stands on both sides of its step. */
function withHalfBars({ data: [steps] }: uPlot, low: number, high: number): [number, number] {
  const half = steps.length < 2 ? 0.5 : (steps[1]! - steps[0]!) / 2;
  return [low - half, high + half];
}

const fromZero = (_: uPlot, __: number | null, high: number | null): [number, number] => [0, 1.08 * (high || 1)];

/** A little room above and below; also around a line without height. */
function yRange(_: uPlot, low: number | null, high: number | null): [number, number] {
  if (low === null || high === null) return [0, 1];
  // Rounding of the smoothing gives a constant curve a height.
  const isFlat = high - low <= 1e-9 * Math.max(Math.abs(low), Math.abs(high));
  const room = !isFlat ? 0.08 * (high - low) : Math.max(Math.abs(high) * 0.1, 1e-6);
  return [low - room, high + room];
}

const lastIndex = (data: AlignedData): number => Math.max(0, data[0].length - 1);

/** The value at the index, or the nearest one before it: runs log at different steps. */
function valueNear(values: AlignedData[number], index: number): number | null {
  for (let i = index; i >= 0; i--) {
    const value = values[i];
    if (value !== null && value !== undefined) return value;
  }
  return null;
}

function tickText(tick: number): string {
  const size = Math.abs(tick);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return tick.toExponential(0).replace('e+', 'e');
  return String(Number(tick.toPrecision(6)));
}
