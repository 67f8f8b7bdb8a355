/**
 * Sets of real numbers as unions of intervals, from any notation: brackets, unions, inequalities, equations, set-builder
 * notation. Handles bounds, and conditions of degree one or two in one unknown; anything else is not treated as a set.
 */
import Fraction from 'fraction.js';
import { isZero, type Value } from './arithmetic.ts';
import { fine, infinite, signOf, substitute, valueAt } from './identity.ts';
import { call, type ListNode, type Node, type RelationSign, unknowns } from './tree.ts';

export interface RealSet {
  /** Ascending, with gaps between them. */
  readonly pieces: readonly Piece[];
  /** The unknown of a condition; absent if the set is written without one. */
  readonly name?: string;
}

export interface Piece {
  readonly from: Bound;
  readonly to: Bound;
}

/** `value` is null at infinity; `closed` says whether the bound belongs to the piece. */
interface Bound {
  readonly value: Value | null;
  readonly closed: boolean;
}

/** The set that a node represents; undefined if it is not a set or cannot be worked out. */
export function realSet(node: Node): RealSet | undefined {
  switch (node.op) {
    case 'constant':
      return namedSet(node.name);
    case 'bracket': {
      if (node.args.length !== 2 || node.open === '<') return undefined;
      const from = boundOf(node.args[0]!, -1, node.open === '[');
      const to = boundOf(node.args[1]!, 1, node.close === ']');
      return from && to && { pieces: tidy([{ from, to }]) };
    }
    case 'set': {
      const values = node.args.map((item) => pointOf(item));
      return values.includes(undefined) ? undefined : { pieces: tidy(values.map((value) => single(value!))) };
    }
    case 'union':
    case 'intersection':
    case 'without': {
      const [a, b] = node.args.map(realSet);
      if (!a || !b) return undefined;
      if (node.op === 'union') return merged(a, b, unite);
      return merged(a, b, node.op === 'intersection' ? intersect : (x, y) => intersect(x, complement(y)));
    }
    case 'such-that': {
      const [head, condition] = node.args as [Node, Node];
      const found = realSet(condition);
      const within = head.op === 'relation' ? realSet(head) : undefined;
      const unknown = head.op === 'relation' ? head.args[0]! : head;
      if (!found || unknown.op !== 'symbol' || (found.name !== undefined && found.name !== unknown.name))
        return undefined;
      if (head.op === 'relation' && !within) return undefined;
      return { pieces: within ? intersect(found.pieces, within.pieces) : found.pieces };
    }
    case 'relation':
      return solutions(node.signs, node.args);
    case 'list': {
      if (!node.args.every((item) => item.op === 'relation')) return undefined;
      const sets = node.args.map(realSet);
      const combine = jointOf(node);
      if (!combine || sets.includes(undefined)) return undefined;
      const found = sets.reduce((all, next) => all && next && merged(all, next, combine));
      return found?.pieces.length === 0 ? undefined : found; // an "and" without solutions must have another meaning
    }
    default:
      return undefined;
  }
}

/** Whether the sets have the same numbers and, if both name an unknown, the same unknown. */
export function sameSet(a: RealSet, b: RealSet): boolean {
  if (a.name !== undefined && b.name !== undefined && a.name !== b.name) return false;
  return (
    a.pieces.length === b.pieces.length &&
    a.pieces.every((piece, i) => sameBound(piece.from, b.pieces[i]!.from) && sameBound(piece.to, b.pieces[i]!.to))
  );
}

/** The highest power of an unknown in a polynomial; undefined if the expression is not a polynomial in it. */
export function degree(node: Node, name: string): number | undefined {
  if (!unknowns(node).includes(name)) return 0;
  const degrees = 'args' in node ? node.args.map((part) => degree(part, name)) : [];
  switch (node.op) {
    case 'symbol':
      return 1;
    case 'add':
    case 'negate':
      return degrees.reduce(
        (most, next) => (most === undefined || next === undefined ? undefined : Math.max(most, next)),
        0,
      );
    case 'multiply':
      return degrees.reduce((total, next) => (total === undefined || next === undefined ? undefined : total + next), 0);
    case 'divide':
      return degrees[1] === 0 ? degrees[0] : undefined;
    case 'power': {
      const exponent = node.args[1]!;
      const whole = exponent.op === 'number' && exponent.value.d === 1n && exponent.value.n < 100n;
      return whole && degrees[0] !== undefined ? degrees[0] * Number(exponent.value.n) : undefined;
    }
    default:
      return undefined;
  }
}

// --- internal ---

const everything: readonly Piece[] = [{ from: { value: null, closed: false }, to: { value: null, closed: false } }];
const zeroBound: Bound = { value: new Fraction(0), closed: false };

function namedSet(name: string): RealSet | undefined {
  if (name === 'reals') return { pieces: everything };
  if (name === 'empty') return { pieces: [] };
  if (name === 'positives') return { pieces: [{ from: zeroBound, to: { value: null, closed: false } }] };
  if (name === 'negatives') return { pieces: [{ from: { value: null, closed: false }, to: zeroBound }] };
  return undefined;
}

function single(value: Value): Piece {
  return { from: { value, closed: true }, to: { value, closed: true } };
}

function pointOf(node: Node): Value | undefined {
  const value = valueAt(node, fine);
  return value && signOf(value) !== undefined ? value : undefined;
}

/** Reads a bound. An infinite bound must be open and have the sign of its side. */
function boundOf(node: Node, side: -1 | 1, closed: boolean): Bound | undefined {
  const infinity = infinite(node);
  if (infinity !== 0) return infinity === side && !closed ? { value: null, closed: false } : undefined;
  const value = pointOf(node);
  return value && { value, closed };
}

/** How a list of relations combines: equations as alternatives, exclusions jointly; inequalities with commas are ambiguous. */
function jointOf(node: ListNode): typeof unite | undefined {
  const signs = node.args.flatMap((item) => (item.op === 'relation' ? item.signs : []));
  if (node.joint === 'or' || signs.every((sign) => sign === '=')) return unite;
  if (node.joint === 'and') return intersect;
  return signs.some((sign) => sign === '!=') && !signs.includes('=') ? intersect : undefined;
}

function merged(
  a: RealSet,
  b: RealSet,
  combine: (x: readonly Piece[], y: readonly Piece[]) => Piece[],
): RealSet | undefined {
  if (a.name !== undefined && b.name !== undefined && a.name !== b.name) return undefined;
  const name = a.name ?? b.name;
  const pieces = combine(a.pieces, b.pieces);
  return name === undefined ? { pieces } : { pieces, name };
}

// --- conditions ---

function solutions(signs: readonly RelationSign[], operands: readonly Node[]): RealSet | undefined {
  const names = [...new Set(operands.flatMap(unknowns))];
  if (names.length !== 1) return undefined;
  const name = names[0]!;
  let pieces: readonly Piece[] = everything;
  for (const [i, sign] of signs.entries()) {
    const next = solve(operands[i]!, sign, operands[i + 1]!, name);
    if (!next) return undefined;
    pieces = intersect(pieces, next);
  }
  return { pieces, name };
}

function solve(left: Node, sign: RelationSign, right: Node, name: string): Piece[] | undefined {
  if (sign === 'in' || sign === 'notin') {
    const found = left.op === 'symbol' ? realSet(right) : undefined;
    return found && found.name === undefined
      ? [...(sign === 'in' ? found.pieces : complement(found.pieces))]
      : undefined;
  }
  if (sign === '!=') {
    const equal = solve(left, '=', right, name);
    return equal && complement(equal);
  }
  if (sign === '>' || sign === '>=') return solve(right, sign === '>' ? '<' : '<=', left, name);
  if (infinite(left) !== 0 || infinite(right) !== 0) {
    return sign === '<' && (infinite(left) === -1 || infinite(right) === 1) ? [...everything] : undefined;
  }
  if (left.op === 'abs' && !unknowns(right).includes(name)) return absolute(left.args[0]!, sign, right, name);
  if (right.op === 'abs' && !unknowns(left).includes(name) && sign !== '=') {
    const inside = absolute(right.args[0]!, sign === '<' ? '<=' : '<', left, name); // c < |u| is the complement of |u| <= c
    return inside && complement(inside);
  }
  return polynomial(call('add', left, call('negate', right)), sign, name);
}

/** `|u| = c`, `|u| < c`, `|u| <= c`. */
function absolute(body: Node, sign: '=' | '<' | '<=', bound: Node, name: string): Piece[] | undefined {
  const value = pointOf(bound);
  if (value === undefined) return undefined;
  const mirrored = call('negate', bound);
  if (sign === '=') {
    if (fine.sign(value) < 0) return [];
    const [a, b] = [solve(body, '=', bound, name), solve(body, '=', mirrored, name)];
    return a && b && unite(a, b);
  }
  const [a, b] = [solve(body, sign, bound, name), solve(mirrored, sign, body, name)];
  return a && b && intersect(a, b);
}

/** The numbers at which a polynomial of degree one or two is zero, negative, or either. */
function polynomial(node: Node, sign: '=' | '<' | '<=', name: string): Piece[] | undefined {
  const power = degree(node, name);
  if (power === undefined || power > 2) return undefined;
  const at = (x: number) => pointOf(substitute(node, name, { op: 'number', value: new Fraction(x) }));
  const [zero, plus, minus] = [at(0), at(1), at(-1)];
  if (zero === undefined || plus === undefined || minus === undefined) return undefined;
  const half = (value: Value) => fine.divide(value, new Fraction(2));
  const a = fine.subtract(half(fine.add(plus, minus)), zero);
  const b = half(fine.subtract(plus, minus));
  if (isNothing(a)) return linear(b, zero, sign);
  const middle = fine.divide(fine.negate(b), fine.multiply(a, new Fraction(2)));
  const discriminant = fine.subtract(fine.multiply(b, b), fine.multiply(fine.multiply(a, zero), new Fraction(4)));
  const kind = fine.sign(discriminant);
  const opensUp = fine.sign(a) > 0;
  const closed = sign !== '<';
  if (kind === 0) {
    if (sign === '=') return [single(middle)];
    const touching = closed ? [single(middle)] : [];
    return opensUp ? touching : closed ? [...everything] : complement([single(middle)]);
  }
  if (kind < 0) {
    if (sign === '=') return undefined; // the solutions are complex
    return opensUp ? [] : [...everything];
  }
  const reach = fine.abs(fine.divide(fine.root(discriminant, 2), fine.multiply(a, new Fraction(2))));
  const [low, high] = [fine.subtract(middle, reach), fine.add(middle, reach)];
  if (sign === '=') return [single(low), single(high)];
  const between: Piece[] = [
    { from: { value: low, closed: closed === opensUp }, to: { value: high, closed: closed === opensUp } },
  ];
  return opensUp ? between : complement(between);
}

/** Solves `b x + c` = 0, < 0 or <= 0. */
function linear(b: Value, c: Value, sign: '=' | '<' | '<='): Piece[] {
  if (isNothing(b)) {
    const side = fine.sign(c);
    return (sign !== '<' && side === 0) || (sign !== '=' && side < 0) ? [...everything] : [];
  }
  const root = fine.divide(fine.negate(c), b);
  if (sign === '=') return [single(root)];
  const bound: Bound = { value: root, closed: sign === '<=' };
  const open: Bound = { value: null, closed: false };
  return fine.sign(b) > 0 ? [{ from: open, to: bound }] : [{ from: bound, to: open }];
}

function isNothing(value: Value): boolean {
  return isZero(value) || fine.sign(value) === 0;
}

// --- pieces ---

function unite(a: readonly Piece[], b: readonly Piece[]): Piece[] {
  return tidy([...a, ...b]);
}

function complement(pieces: readonly Piece[]): Piece[] {
  const gaps: Piece[] = [];
  let from: Bound = { value: null, closed: false };
  for (const [i, piece] of pieces.entries()) {
    if (i > 0 || piece.from.value !== null)
      gaps.push({ from, to: { value: piece.from.value, closed: !piece.from.closed } });
    from = { value: piece.to.value, closed: !piece.to.closed };
    if (piece.to.value === null) return gaps;
  }
  return [...gaps, { from, to: { value: null, closed: false } }];
}

function intersect(a: readonly Piece[], b: readonly Piece[]): Piece[] {
  return complement(unite(complement(a), complement(b)));
}

/** Sorts the pieces, joins touching ones and drops empty ones. */
function tidy(pieces: readonly Piece[]): Piece[] {
  const sorted = pieces.filter(isNonempty).sort((a, b) => compareFrom(a.from, b.from));
  const result: Piece[] = [];
  for (const piece of sorted) {
    const last = result.at(-1);
    if (last && meets(last.to, piece.from)) {
      result[result.length - 1] = { from: last.from, to: compareTo(last.to, piece.to) >= 0 ? last.to : piece.to };
    } else result.push(piece);
  }
  return result;
}

function isNonempty({ from, to }: Piece): boolean {
  if (from.value === null || to.value === null) return true;
  const order = compare(from.value, to.value);
  return order < 0 || (order === 0 && from.closed && to.closed);
}

/** Whether there is no gap between a piece that ends at `to` and one that begins at `from`. */
function meets(to: Bound, from: Bound): boolean {
  if (to.value === null || from.value === null) return true;
  const order = compare(from.value, to.value);
  return order < 0 || (order === 0 && (from.closed || to.closed));
}

function compareFrom(a: Bound, b: Bound): number {
  if (a.value === null || b.value === null) return a.value === b.value ? 0 : a.value === null ? -1 : 1;
  return compare(a.value, b.value) || Number(b.closed) - Number(a.closed);
}

function compareTo(a: Bound, b: Bound): number {
  if (a.value === null || b.value === null) return a.value === b.value ? 0 : a.value === null ? 1 : -1;
  return compare(a.value, b.value) || Number(a.closed) - Number(b.closed);
}

function compare(a: Value, b: Value): number {
  return fine.sign(fine.subtract(a, b));
}

function sameBound(a: Bound, b: Bound): boolean {
  if (a.closed !== b.closed) return false;
  if (a.value === null || b.value === null) return a.value === b.value;
  const gap = fine.subtract(a.value, b.value);
  return isZero(gap) || (fine.sign(gap) === 0 && fine.toBall(gap).error <= -100);
}
