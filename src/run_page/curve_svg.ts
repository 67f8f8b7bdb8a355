/**
 * One metric as a picture in SVG: every value faint, their smoothed course on top.
 */
import { formatNumber } from '../report/text.ts';
import type { Curve } from '../ui/api.ts';
import { Html, html } from './html.ts';

/** The colours come from the page's style, so that the picture follows its light or dark ground. */
export function curveSvg(curve: Curve): Html {
  const known = curve.values.filter((value) => value !== null);
  if (known.length === 0) return html`<p class="faint">no finite value</p>`;
  const [low, high] = spread(known);
  const [from, to] = [curve.steps[0]!, curve.steps.at(-1)!];
  const x = (step: number): number => LEFT + (WIDTH - LEFT - RIGHT) * (from === to ? 0.5 : (step - from) / (to - from));
  const y = (value: number): number => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / (high - low));
  const path = (values: readonly (number | null)[]): Html =>
    new Html(
      pathOf(
        curve.steps.map(x),
        values.map((value) => (value === null ? null : y(value))),
      ),
    );
  const rows = ticks(low, high).map(
    (tick) =>
      html`<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${short(y(tick))}" y2="${short(y(tick))}"/><text class="tick" x="${LEFT - 6}" y="${short(y(tick) + 3.5)}" text-anchor="end">${formatNumber(tick)}</text>`,
  );
  const ends = from === to ? [from] : [from, to];
  const columns = ends.map(
    (step, i) =>
      html`<text class="tick" x="${short(x(step))}" y="${HEIGHT - 5}" text-anchor="${ends.length === 1 ? 'middle' : i === 0 ? 'start' : 'end'}">${step}</text>`,
  );
  const isShort = known.length <= FEW;
  const dots = isShort
    ? curve.values.map((value, i) =>
        value === null
          ? ''
          : html`<circle class="dot" cx="${short(x(curve.steps[i]!))}" cy="${short(y(value))}" r="2"/>`,
      )
    : [];
  return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${curve.metric}">${rows}${columns}<path class="${isShort ? 'line' : 'raw'}" d="${path(curve.values)}"/>${isShort ? '' : html`<path class="line" d="${path(curve.smooth)}"/>`}${dots}</svg>`;
}

/** Round numbers within the range, about three. */
export function ticks(low: number, high: number): number[] {
  const rough = (high - low) / 3;
  const size = 10 ** Math.floor(Math.log10(rough));
  // The factor that is nearest on a logarithmic scale.
  const step =
    size * (rough / size < Math.SQRT2 ? 1 : rough / size < Math.sqrt(10) ? 2 : rough / size < Math.sqrt(50) ? 5 : 10);
  const first = Math.ceil(low / step - ROUNDING);
  const last = Math.floor(high / step + ROUNDING);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

// --- internal ---

const [WIDTH, HEIGHT] = [340, 150];
const [LEFT, RIGHT, TOP, BOTTOM] = [54, 6, 8, 20];
/** A curve of so few values is drawn value by value, not smoothed. */
const FEW = 12;

/** Share of a step by which a quotient may miss a whole number. */
const ROUNDING = 1e-9;

const short = (value: number): string => String(Number(value.toFixed(1)));

/** The range of the values, a little wider, so that no line lies on the edge. */
function spread(values: readonly number[]): [number, number] {
  const [low, high] = values.reduce(
    ([a, b], value) => [Math.min(a, value), Math.max(b, value)],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  );
  const isFlat = high - low <= 1e-9 * Math.max(Math.abs(low), Math.abs(high));
  const margin = isFlat ? Math.abs(high) / 2 || 1 : (high - low) * 0.06;
  return [low - margin, high + margin];
}

/** Lines between neighbours; a gap is not bridged. */
function pathOf(xs: readonly number[], ys: readonly (number | null)[]): string {
  return ys
    .map((y, i) => (y === null ? '' : `${i === 0 || ys[i - 1] === null ? 'M' : 'L'}${short(xs[i]!)} ${short(y)}`))
    .join('');
}
