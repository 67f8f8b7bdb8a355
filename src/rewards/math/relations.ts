/**
 * Whether two equations or inequalities are equivalent: rearranged, reversed, multiplied by a number, solved for an unknown.
 * Handles relations in several unknowns; relations in one are sets of numbers (real_set.ts).
 */
import Fraction from 'fraction.js';
import { isZero } from './arithmetic.ts';
import { fine, points, sameExpression, signOf, substitute, valueAt } from './identity.ts';
import { degree } from './real_set.ts';
import { call, type Node, type RelationNode, type RelationSign, unknowns } from './tree.ts';

/** The assigned value: the last side of `x = 1/2 = 0.5` or `3 + 4 = 7`, the first of `5 = x`; undefined if not an assignment. */
export function assigned(node: Node): Node | undefined {
  if (node.op !== 'relation' || node.signs.some((sign) => sign !== '=')) return undefined;
  const [first, last] = [node.args[0]!, node.args.at(-1)!];
  if (isName(first)) return last;
  if (isName(last)) return first;
  return unknowns(first).length === 0 ? last : undefined;
}

/** The unknown, or product of letters, to which a value is assigned. */
export function assignedName(node: Node): Node | undefined {
  if (node.op !== 'relation') return undefined;
  const [first, last] = [node.args[0]!, node.args.at(-1)!];
  return isName(first) ? first : isName(last) ? last : undefined;
}

/** Whether two relations between expressions are equivalent. */
export function sameRelation(a: RelationNode, b: RelationNode): boolean {
  if (a.signs.length === 1 && b.signs.length === 1) return samePair(a, b);
  return sameChain(a, b) || sameChain(a, turned(b));
}

// --- internal ---

function isName(node: Node): boolean {
  if (node.op === 'symbol') return true;
  if (node.op === 'bracket') return node.args.every(isName); // (x, y) = (1, 2)
  return (node.op === 'multiply' || node.op === 'ratio') && node.args.every(isName);
}

const turnedSigns: Record<RelationSign, RelationSign> = {
  ...{ '=': '=', '!=': '!=', '<': '>', '<=': '>=', '>': '<', '>=': '<=', in: 'in', notin: 'notin' },
};

function turned(node: RelationNode): RelationNode {
  return { ...node, signs: node.signs.map((sign) => turnedSigns[sign]).reverse(), args: [...node.args].reverse() };
}

function sameChain(a: RelationNode, b: RelationNode): boolean {
  if (a.args.length !== b.args.length || a.signs.some((sign, i) => sign !== b.signs[i])) return false;
  return a.args.every((side, i) => sameExpression(side, b.args[i]!));
}

function samePair(a: RelationNode, b: RelationNode): boolean {
  if (sameChain(a, b)) return true;
  const [x, y] = [rising(a), rising(b)];
  if (x.signs[0] !== y.signs[0] || x.signs[0] === 'in' || x.signs[0] === 'notin') return false;
  const [f, g] = [difference(x), difference(y)];
  const names = unknowns(f);
  if (names.length === 0 || names.join() !== unknowns(g).join()) return false;
  const ordered = x.signs[0] === '<' || x.signs[0] === '<=';
  if (proportional(f, g, names, ordered)) return true;
  return x.signs[0] === '=' && names.length > 1 && names.some((name) => sameSolution(f, g, name));
}

/** The relation with greater-than turned into less-than. */
function rising(node: RelationNode): RelationNode {
  return node.signs[0]!.startsWith('>') ? turned(node) : node;
}

function difference(node: RelationNode): Node {
  return call('add', node.args[0]!, call('negate', node.args[1]!));
}

/** Whether one function is a constant times the other; with `positive`, a positive constant. */
function proportional(f: Node, g: Node, names: readonly string[], positive: boolean): boolean {
  for (const point of points(names, [f, g])) {
    const [x, y] = [valueAt(f, fine, point), valueAt(g, fine, point)];
    if (x === undefined || y === undefined || isZero(x) || isZero(y)) continue;
    const factor = fine.divide(x, y);
    if (positive && signOf(factor) !== 1) return false;
    // equal if f g(p) = g f(p) at all points
    const [fixedF, fixedG] = [at(f, point), at(g, point)];
    return sameExpression(call('multiply', f, fixedG), call('multiply', g, fixedF));
  }
  return false;
}

function at(node: Node, point: ReadonlyMap<string, unknown>): Node {
  let fixed = node;
  for (const [name, value] of point) fixed = substitute(fixed, name, { op: 'number', value: value as Fraction });
  return fixed;
}

/** Whether both are of degree one in the unknown and have the same solution for it. */
function sameSolution(f: Node, g: Node, name: string): boolean {
  const [x, y] = [solved(f, name), solved(g, name)];
  return x !== undefined && y !== undefined && sameExpression(x, y);
}

/** The solution `-b/a` of `a name + b = 0`; undefined if a and b can both vanish, because then the unknown is arbitrary. */
function solved(f: Node, name: string): Node | undefined {
  if (degree(f, name) !== 1) return undefined;
  const b = substitute(f, name, number(0));
  const a = call('add', substitute(f, name, number(1)), call('negate', b));
  const others = unknowns(a);
  if (others.length > 0 && !sameExpression(a, at(a, new Map(others.map((other) => [other, new Fraction(2)]))))) {
    const [other] = others;
    if (others.length > 1 || degree(a, other!) !== 1) return undefined;
    const start = substitute(a, other!, number(0));
    const slope = call('add', substitute(a, other!, number(1)), call('negate', start));
    const root = call('negate', call('divide', start, slope));
    if (sameExpression(substitute(b, other!, root), number(0))) return undefined;
  }
  return call('negate', call('divide', b, a));
}

function number(value: number): Node {
  return { op: 'number', value: new Fraction(value) };
}
