/**
 * Whether two expressions are the same number or the same function. Rational numbers are compared exactly, others to
 * hundreds of digits. Functions are compared at points: a difference is certain, and equality has a negligible chance of error.
 */
import Fraction from 'fraction.js';
import { type Arithmetic, arithmetic, isExact, lower, NoValue, upper, type Value } from './arithmetic.ts';
import { evaluate, type Point } from './evaluate.ts';
import { type Node, parts, sameForm, some, unknowns, withParts } from './tree.ts';

/** Few digits find most differences. Equality of two numbers needs many; for functions, which agree at several points, fewer. */
const coarse = arithmetic(40);
const medium = arithmetic(90);
export const fine = arithmetic(200);

/** Two numbers are equal if they differ by at most this power of ten; numbers known less precisely do not count as equal. */
const agreement = -100;
/** The same for functions at a point, relative to their magnitude. */
const agreementAtPoint = -50;

/** The value of an expression without unknowns; undefined if it has none. */
export function valueAt(node: Node, ar: Arithmetic = coarse, point: Point = new Map()): Value | undefined {
  try {
    return evaluate(node, ar, point);
  } catch (error) {
    if (error instanceof NoValue) return undefined;
    throw error;
  }
}

/** -1, 0 or 1; undefined if the number is not real. */
export function signOf(value: Value): number | undefined {
  try {
    return fine.sign(value);
  } catch (error) {
    if (error instanceof NoValue) return undefined;
    throw error;
  }
}

/** Whether two expressions are the same number, or the same function of their unknowns. */
export function sameExpression(a: Node, b: Node): boolean {
  const [left, right] = [infinite(a), infinite(b)];
  if (left !== 0 || right !== 0) return left === right;
  if (sameForm(a, b)) return true;
  const names = [...new Set([...unknowns(a), ...unknowns(b)])].sort();
  if (names.length === 0) return sameAt(a, b, new Map()) === true || approximates(a, b) || approximates(b, a);
  let agreed = 0;
  for (const point of points(names, [a, b])) {
    const same = sameAt(a, b, point);
    if (same === false) return false;
    if (same) agreed++;
  }
  return agreed >= 3;
}

/** 1 or -1 for an infinite expression, else 0. */
export function infinite(node: Node): -1 | 0 | 1 {
  if (node.op === 'constant' && node.name === 'infinity') return 1;
  if (node.op === 'negate') return -infinite(node.args[0]!) as -1 | 0 | 1;
  return 0;
}

/**
 * The points at which functions are compared: rationals, so that polynomials are compared exactly; integers if factorials, sums
 * or binomials depend on an unknown; and points near every constant if a function has steps or corners.
 */
export function points(names: readonly string[], nodes: readonly Node[]): Point[] {
  const discrete = nodes.some((node) =>
    some(node, (at) => wholeOnly.has(at.op) && parts(at).some((part) => unknowns(part).length > 0)),
  );
  const rows: (readonly Fraction[])[] = discrete ? wholeRows : rationalRows;
  const all = rows.map((row) => pointOf(names, row));
  if (!nodes.some((node) => some(node, (at) => cornered.has(at.op)))) return all;
  const near = new Fraction(1, 7);
  for (const centre of constantsIn(nodes).slice(0, 20)) {
    for (const row of [
      [centre.add(near), centre.sub(near)],
      [centre.sub(near), centre.add(near)],
      [centre.neg().add(near), centre.neg().sub(near)],
    ])
      all.push(pointOf(names, row));
  }
  return all;
}

/** The node with an unknown replaced by another node. */
export function substitute(node: Node, name: string, by: Node): Node {
  if (node.op === 'symbol') return node.name === name ? by : node;
  return withParts(node, (part) => substitute(part, name, by));
}

// --- internal ---

/** Whether two expressions agree at a point; undefined if one of them has no value there. */
function sameAt(a: Node, b: Node, point: Point): boolean | undefined {
  const constant = point.size === 0;
  const last = constant ? fine : medium;
  for (const ar of [coarse, last]) {
    const [x, y] = [valueAt(a, ar, point), valueAt(b, ar, point)];
    if (x === undefined || y === undefined) {
      if (ar === coarse) continue; // possibly too close to a pole or a step for few digits
      return undefined;
    }
    if (isExact(x) && isExact(y)) return x.equals(y);
    const gap = ar.toBall(ar.subtract(x, y));
    if (lower(gap) > gap.error) return false;
    if (ar === last) {
      const doubt = Math.max(gap.error, upper(gap));
      return doubt <= (constant ? agreement : Math.max(0, upper(ar.toBall(x))) + agreementAtPoint);
    }
  }
  return undefined;
}

const wholeOnly = new Set<string>(['factorial', 'double-factorial', 'binomial', 'sum', 'product', 'gcd', 'lcm', 'mod']);
const cornered = new Set<string>(['abs', 'floor', 'ceil', 'max', 'min']);

/** In ten thousandths: small and large, of both signs, some between -1 and 1, the domain of arcsines. */
const rationalRows = [
  [7312, 11937, 23719],
  [16151, 4393, 31233],
  [29277, 22061, 5171],
  [-13171, 8819, -26113],
  [-4513, -32719, 19391],
  [1213, 7771, -3917],
  [-8719, -2311, 6113],
  [612_347_891, 523_116_773, -841_239_557],
  [-912_345_679, -777_123_451, 412_398_761],
].map((row) => row.map((n) => new Fraction(n, 10_000)));

const wholeRows = [
  [2, 5, 3],
  [5, 2, 7],
  [3, 8, 2],
  [9, 4, 6],
  [1, 12, 4],
  [13, 6, 11],
  [7, 17, 5],
].map((row) => row.map((n) => new Fraction(n)));

function pointOf(names: readonly string[], row: readonly Fraction[]): Point {
  return new Map(
    names.map((name, i) => [name, row[i % row.length]!.add(new Fraction(Math.floor(i / row.length)))] as const),
  );
}

function constantsIn(nodes: readonly Node[]): Fraction[] {
  const found = new Map<string, Fraction>();
  const visit = (node: Node) => {
    if (node.op === 'number') found.set(node.value.toFraction(), node.value);
    for (const part of parts(node)) visit(part);
  };
  nodes.forEach(visit);
  return [...found.values()];
}

/**
 * Whether a decimal is the other number, rounded to the decimal's last digit, as 0.333333 is 1/3. Requires at least six
 * decimals and six significant digits. A number with a finite expansion (1/8, 12.5) must be given exactly.
 */
function approximates(decimal: Node, exact: Node): boolean {
  const literal = literalOf(decimal);
  if (literal === undefined || literal.significant < 6 || literal.decimals < 6) return false;
  const value = valueAt(exact, fine);
  if (value === undefined || (isExact(value) && isTerminating(value))) return false;
  const gap = fine.abs(fine.subtract(literal.value, value));
  return fine.sign(fine.subtract(gap, literal.unit.div(2))) < 0;
}

interface Literal {
  readonly value: Fraction;
  /** Value of one unit in the last digit. */
  readonly unit: Fraction;
  readonly significant: number;
  readonly decimals: number;
}

/** Reads a decimal as written, with its sign and its power of ten. */
function literalOf(node: Node): Literal | undefined {
  if (node.op === 'number') {
    if (!node.written) return undefined;
    return { value: node.value, unit: new Fraction(1n, 10n ** BigInt(node.written.decimals)), ...node.written };
  }
  if (node.op === 'negate') {
    const positive = literalOf(node.args[0]!);
    return positive && { ...positive, value: positive.value.neg() };
  }
  if (node.op === 'multiply' && node.args.length === 2) {
    const [mantissa, power] = node.args as [Node, Node];
    const literal = literalOf(mantissa);
    const base = power.op === 'power' ? power.args[0]! : undefined;
    const scale = base?.op === 'number' && base.value.equals(10) ? valueAt(power, fine) : undefined;
    if (!literal || scale === undefined || !isExact(scale)) return undefined;
    return { ...literal, value: literal.value.mul(scale), unit: literal.unit.mul(scale) };
  }
  return undefined;
}

/** Whether the decimal expansion of a rational is finite. */
function isTerminating(value: Fraction): boolean {
  let rest = value.d;
  for (const prime of [2n, 5n]) while (rest % prime === 0n) rest /= prime;
  return rest === 1n;
}
