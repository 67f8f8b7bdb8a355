/**
 * Decides whether two normalised answers are the same number, expression, tuple, interval or set, with an algebra library.
 * Knows no deadlines: the library can hang or fill memory on hostile input, so callers run this in a worker.
 */
import type { ComputeEngine } from '@cortex-js/compute-engine';
import { closeNumbers, splitList } from './quick.ts';

/** The library does not export the name of its expressions. */
type Expression = ReturnType<ComputeEngine['parse']>;

/** `reference`: the reference itself does not parse; `answer`: the answer does not. */
export type MathVerdict = 'equal' | 'different' | 'reference' | 'answer';

/** Compares an answer with the reference; both as `normalizeMath` leaves them. */
export function compareMath(engine: ComputeEngine, reference: string, answer: string): MathVerdict {
  engine.pushScope(); // what one pair says about a symbol must not reach the next pair
  try {
    const gold = splitList(reference);
    const given = splitList(answer);
    const goldItems = parseItems(engine, gold.items);
    if (goldItems === null) return 'reference';
    const givenItems = parseItems(engine, given.items);
    if (givenItems === null) return 'answer';
    const sameKind = gold.open === given.open && gold.close === given.close;
    if (!sameKind || goldItems.length !== givenItems.length) return 'different';
    const equal = gold.ordered
      ? goldItems.every((item, i) => samePair(item, givenItems[i]!))
      : sameElements(goldItems, givenItems);
    return equal ? 'equal' : 'different';
  } finally {
    engine.popScope();
  }
}

// --- internal ---

/** Values given to the unknowns of an expression: one row a trial, reused in turn if there are more unknowns. */
const trials: readonly (readonly number[])[] = [
  [0.7312, 1.1937, 2.3719],
  [1.6151, 0.4393, 3.1233],
  [2.9277, 2.2061, 0.5171],
  [-1.3171, 0.8819, -2.6113],
  [-0.4513, -3.2719, 1.9391],
];

interface Item {
  readonly value: Expression;
  readonly percent: boolean;
}

/** Null if one of the texts is no expression the library understands. */
function parseItems(engine: ComputeEngine, texts: readonly string[]): Item[] | null {
  const items: Item[] = [];
  for (const text of texts) {
    const percent = text.endsWith('\\%'); // the library would read a hundredth; `samePair` decides
    let value: Expression;
    try {
      value = engine.parse(percent ? text.slice(0, -2) : text);
    } catch {
      return null; // some malformed input makes the parser throw instead of answering with an error
    }
    if (!isUsable(value)) return null;
    items.push({ value, percent });
  }
  return items;
}

/** Integrals and limits are left out: the library estimates them by sampling, to three digits. */
function isUsable(expression: Expression): boolean {
  if (!expression.isValid || expression.json === 'NaN' || expression.json === 'Nothing') return false;
  return !['Integrate', 'Limit', 'NLimit', 'NIntegrate'].some((operator) => expression.has(operator));
}

/** Unknowns, without the running index of a sum or product, which the library counts among them. */
function freeNames(expression: Expression): string[] {
  const sums: Expression[] = ['Sum', 'Product'].flatMap((operator) => [...expression.getSubexpressions(operator)]);
  const ranges: Expression[] = sums.flatMap((sum) => sum.ops?.slice(1) ?? []);
  const bound = new Set(ranges.map((range) => range.ops?.[0]?.symbol));
  return expression.unknowns.filter((name: string) => !bound.has(name));
}

/** As math-verify does, "50%" is right for "50" and for "0.5". */
function samePair(gold: Item, given: Item): boolean {
  if (same(gold.value, given.value)) return true;
  if (gold.percent === given.percent) return false;
  return gold.percent ? same(gold.value.div(100), given.value) : same(gold.value, given.value.div(100));
}

function sameElements(gold: readonly Item[], given: readonly Item[]): boolean {
  const left = [...given];
  return gold.every((item) => {
    const at = left.findIndex((other) => samePair(item, other));
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  });
}

/**
 * Same form, or same value wherever both are tried: two analytic expressions that agree at several unrelated points agree
 * everywhere but for a chance of no weight here, and no expansion or simplification rule is needed.
 */
function same(a: Expression, b: Expression): boolean {
  if (a.isSame(b)) return true;
  const unknowns = [...new Set([...freeNames(a), ...freeNames(b)])].sort();
  let compared = 0;
  for (const values of unknowns.length === 0 ? trials.slice(0, 1) : trials) {
    const point = Object.fromEntries(
      unknowns.map((name, i) => [name, values[i % values.length]! + Math.floor(i / values.length)]),
    );
    const x = a.subs(point).N();
    const y = b.subs(point).N();
    if (![x.re, x.im, y.re, y.im].every(Number.isFinite)) continue;
    const close =
      unknowns.length === 0
        ? closeNumbers(x.re, y.re) && closeNumbers(x.im, y.im)
        : Math.hypot(x.re - y.re, x.im - y.im) <= 1e-9 * Math.max(1, Math.hypot(y.re, y.im));
    if (!close) return false;
    compared++;
  }
  return compared >= (unknowns.length === 0 ? 1 : 2);
}
