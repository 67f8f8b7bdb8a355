/**
 * Decides whether two normalised answers are equal: number, expression, list, point, set, interval, matrix, relation.
 * Knows which forms are interchangeable. Knows no deadlines, so callers run it in a separate process.
 */
import Fraction from 'fraction.js';
import { NoValue } from './arithmetic.ts';
import { fine, infinite, sameExpression, valueAt } from './identity.ts';
import { parseMath } from './parse.ts';
import { type RealSet, realSet, sameSet } from './real_set.ts';
import { assigned, assignedName, sameRelation } from './relations.ts';
import { type BracketNode, call, type ListNode, type Node, sameForm, some, unknowns, withParts } from './tree.ts';
import { sameWords, unitRatio } from './units.ts';

/** `reference`: the reference is not understood or has no value; `answer`: the same for the answer. */
export type MathVerdict = 'equal' | 'different' | 'reference' | 'answer';

/** Compares an answer with the reference, both normalised by `normalizeMath`. */
export function compareMath(reference: string, answer: string): MathVerdict {
  const gold = understood(reference);
  if (gold === undefined) return 'reference';
  const given = understood(answer);
  if (given === undefined) return 'answer';
  return orDifferent(() => same(gold, given)) ? 'equal' : 'different';
}

// --- internal ---

/** Values that cannot be computed count as different: they are not shown to be equal. */
function orDifferent(decide: () => boolean): boolean {
  try {
    return decide();
  } catch (error) {
    if (error instanceof NoValue) return false;
    throw error;
  }
}

/** The tree with plus-minus expanded; undefined if the text does not parse or a constant in it has no value. */
function understood(text: string): Node | undefined {
  const tree = parseMath(text);
  if (!tree) return undefined;
  const node = withSignsExpanded(scaledMatrices(tree));
  return node && isMeaningful(node) ? node : undefined;
}

/** Operations whose parts are answers themselves. */
const arrangements = new Set<string>([
  ...['list', 'bracket', 'set', 'matrix', 'relation', 'union', 'intersection', 'without', 'such-that', 'ratio', 'unit'],
  ...['percent', 'degrees'],
]);

/** Whether no part is a division by zero, a matrix in a sum or an infinite number in a product. */
function isMeaningful(node: Node): boolean {
  if (arrangements.has(node.op)) return (node as ListNode).args.every(isMeaningful);
  if (node.op === 'constant' && node.name !== 'infinity') return true;
  if (infinite(node) !== 0) return true;
  if (some(node, (part) => arrangements.has(part.op) && part.op !== 'percent' && part.op !== 'degrees')) return false;
  return unknowns(node).length > 0 || valueAt(node) !== undefined || valueAt(node, fine) !== undefined;
}

/** Turns `\frac{1}{2} M` and `-M` into a matrix by multiplying its entries. */
function scaledMatrices(node: Node): Node {
  if (node.op === 'negate' && node.args[0]!.op === 'matrix')
    return withParts(node.args[0]!, (entry) => call('negate', entry));
  if (node.op === 'multiply' && node.args.filter((part) => part.op === 'matrix').length === 1) {
    const others = node.args.filter((part) => part.op !== 'matrix');
    return withParts(node.args.find((part) => part.op === 'matrix')!, (entry) => call('multiply', ...others, entry));
  }
  return withParts(node, scaledMatrices);
}

// --- plus-minus ---

/** Expands `a \pm b` to a list of both values. Several signs are independent, unless a minus-plus ties them. */
function withSignsExpanded(node: Node): Node | undefined {
  if (node.op === 'list' || node.op === 'set') {
    const items = (node as ListNode).args.map(alternatives);
    if (items.includes(undefined)) return undefined;
    return { ...node, args: items.flatMap((item) => item!) } as Node;
  }
  const all = alternatives(node);
  if (!all) return undefined;
  return all.length === 1 ? all[0] : { op: 'list', joint: 'or', args: all };
}

function alternatives(node: Node): Node[] | undefined {
  if (node.op === 'set') {
    const inner = withSignsExpanded(node);
    return inner && [inner];
  }
  const signs = countSigns(node);
  if (signs.total === 0) return [node];
  if (signs.tied) return [true, false].map((upper) => chosen(node, () => upper));
  if (signs.total > 2) return undefined;
  return Array.from({ length: 2 ** signs.total }, (_, choice) => {
    let seen = 0;
    return chosen(node, () => ((choice >> seen++) & 1) === 0);
  });
}

function countSigns(node: Node): { total: number; tied: boolean } {
  let total = 0;
  let tied = false;
  some(node, (part) => {
    if (part.op === 'plus-minus' || part.op === 'minus-plus') total++;
    tied ||= part.op === 'minus-plus';
    return false;
  });
  return { total, tied };
}

function chosen(node: Node, upper: () => boolean): Node {
  if (node.op !== 'plus-minus' && node.op !== 'minus-plus') return withParts(node, (part) => chosen(part, upper));
  const plus = (node.op === 'plus-minus') === upper();
  const body = chosen(node.args[0]!, upper);
  return plus ? body : call('negate', body);
}

// --- comparison ---

function same(gold: Node, given: Node): boolean {
  if (sameForm(gold, given)) return true;
  const [goldIsStatement, givenIsStatement] = [isStatement(gold), isStatement(given)];
  if (goldIsStatement && givenIsStatement) return sameStatement(gold, given);
  if (goldIsStatement || givenIsStatement) {
    const [statement, value] = goldIsStatement ? [gold, given] : [given, gold];
    const stated = statedValue(statement, value);
    if (stated) return goldIsStatement ? same(stated, value) : same(value, stated);
    return sameSets(gold, given) === true;
  }
  return sameValue(gold, given);
}

function isStatement(node: Node): boolean {
  return node.op === 'relation' || (node.op === 'list' && node.args.every((item) => item.op === 'relation'));
}

/**
 * The value that a statement gives: 5 for `x = 5`, the set for `x \in S`, both values for `x = 1 or x = 2`. Assignments to
 * different unknowns give a point, so that the order counts when it is compared with a list.
 *
 * @param other the value that it is compared with
 */
function statedValue(statement: Node, other: Node): Node | undefined {
  if (statement.op === 'relation') {
    if (statement.signs.length === 1 && statement.signs[0] === 'in' && statement.args[0]!.op === 'symbol') {
      return statement.args[1];
    }
    return assigned(statement);
  }
  if (statement.op !== 'list') return undefined;
  const values = statement.args.map(assigned);
  if (values.includes(undefined)) return undefined;
  const args = values as Node[];
  const names = statement.args.map(assignedName);
  const first = names[0];
  if (first && names.every((name) => name && sameForm(name, first))) return { ...statement, args };
  if (other.op === 'set') return undefined;
  return { op: 'bracket', open: '(', close: ')', args };
}

function sameStatement(gold: Node, given: Node): boolean {
  const [a, b] = [spread(gold), spread(given)];
  if (a.op === 'relation' && b.op === 'relation') {
    const [x, y] = [assigned(a), assigned(b)];
    const [left, right] = [assignedName(a), assignedName(b)];
    if (x && y && left && right && sameForm(left, right) && same(x, y)) return true;
    if (x && y && !left && !right) return same(x, y); // 1 + 2 = 3 and 3 = 3
  }
  const sets = sameSets(a, b);
  if (sets !== undefined) return sets;
  if (a.op === 'relation' && b.op === 'relation') return sameRelation(a, b);
  if (a.op !== 'list' || b.op !== 'list') return false;
  return sameJoint(a, b) && sameElements(a.args, b.args);
}

/** Turns `(x, y) = (1, 2)` into `x = 1, y = 2`. */
function spread(node: Node): Node {
  if (node.op !== 'relation' || node.args.length !== 2 || node.signs[0] !== '=') return node;
  const [left, right] = node.args as [Node, Node];
  if (left.op !== 'bracket' || right.op !== 'bracket' || left.args.length !== right.args.length) return node;
  if (!left.args.every((part) => part.op === 'symbol')) return node;
  const args = left.args.map((name, i): Node => ({ op: 'relation', signs: ['='], args: [name, right.args[i]!] }));
  return { op: 'list', joint: ',', args };
}

/** "or" differs from "and"; a comma may mean either. */
function sameJoint(a: ListNode, b: ListNode): boolean {
  return a.joint === b.joint || a.joint === ',' || b.joint === ',';
}

/** Compares two nodes as sets of real numbers; undefined if one of them is not such a set. */
function sameSets(gold: Node, given: Node): boolean | undefined {
  const [a, b]: (RealSet | undefined)[] = [realSet(gold), realSet(given)];
  return a && b ? sameSet(a, b) : undefined;
}

const setOperations = new Set<string>(['union', 'intersection', 'without', 'such-that']);

function sameValue(gold: Node, given: Node): boolean {
  if (gold.op === 'matrix' || given.op === 'matrix') return sameMatrix(gold, given);
  if ([gold, given].some((node) => setOperations.has(node.op) || node.op === 'constant')) {
    const sets = sameSets(gold, given);
    if (sets !== undefined) return sets;
  }
  if (gold.op === given.op && setOperations.has(gold.op)) return samePartsOf(gold, given);
  if (gold.op === 'ratio' || given.op === 'ratio') return sameRatio(gold, given);
  const [a, b] = [collection(gold), collection(given)];
  if (a && b) return sameCollection(a, b);
  if (a || b) {
    // {5} equals 5
    const [many, one] = a ? [a, given] : [b!, gold];
    return many.op === 'set' && many.args.length === 1 && same(many.args[0]!, one);
  }
  return sameQuantity(gold, given);
}

function samePartsOf(gold: Node, given: Node): boolean {
  const [a, b] = [(gold as ListNode).args, (given as ListNode).args];
  return a.length === b.length && a.every((part, i) => same(part, b[i]!));
}

type Collection = ListNode | BracketNode | { readonly op: 'set'; readonly args: readonly Node[] };

function collection(node: Node): Collection | undefined {
  return node.op === 'list' || node.op === 'bracket' || node.op === 'set' ? (node as Collection) : undefined;
}

function sameCollection(a: Collection, b: Collection): boolean {
  if (a.op === 'set' && b.op === 'set') return sameElements(distinct(a.args), distinct(b.args));
  if (a.op === 'bracket' && b.op === 'bracket') return sameKind(a, b) && sameInOrder(a.args, b.args);
  if (a.op === 'list' && b.op === 'list') return sameElements(a.args, b.args);
  if (a.op === 'bracket' || b.op === 'bracket') {
    const [bracket, other] = (a.op === 'bracket' ? [a, b] : [b, a]) as [BracketNode, Collection];
    return other.op === 'list' && other.joint !== 'or' && isPoint(bracket) && sameInOrder(a.args, b.args);
  }
  return sameElements(distinct(a.args), distinct(b.args));
}

/** Two numbers in round and in square brackets are different intervals; three or more are a vector in either. */
function sameKind(a: BracketNode, b: BracketNode): boolean {
  return (a.open === b.open && a.close === b.close) || (isPoint(a) && isPoint(b));
}

function isPoint({ open, close, args }: BracketNode): boolean {
  return (open === '(' && close === ')') || open === '<' || (args.length > 2 && open === '[' && close === ']');
}

function sameInOrder(a: readonly Node[], b: readonly Node[]): boolean {
  return a.length === b.length && a.every((item, i) => same(item, b[i]!));
}

function sameElements(a: readonly Node[], b: readonly Node[]): boolean {
  if (a.length !== b.length) return false;
  const left = [...b];
  return a.every((item) => {
    const at = left.findIndex((other) => orDifferent(() => same(item, other)));
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  });
}

function distinct(items: readonly Node[]): Node[] {
  const kept: Node[] = [];
  for (const item of items) if (!kept.some((other) => orDifferent(() => same(other, item)))) kept.push(item);
  return kept;
}

/** Compares entry by entry; a column may also be written as a point. */
function sameMatrix(gold: Node, given: Node): boolean {
  if (gold.op === 'matrix' && given.op === 'matrix') {
    return gold.columns === given.columns && sameInOrder(gold.args, given.args);
  }
  const [matrix, other] = gold.op === 'matrix' ? [gold, given] : [given, gold];
  if (matrix.op !== 'matrix') return false;
  if (matrix.args.length === 1) return same(matrix.args[0]!, other);
  return matrix.columns === 1 && other.op === 'bracket' && isPoint(other) && sameInOrder(matrix.args, other.args);
}

/** `2:3` equals `4:6`, and the number 2/3. */
function sameRatio(gold: Node, given: Node): boolean {
  if (gold.op !== 'ratio' || given.op !== 'ratio') {
    const [ratio, other] = gold.op === 'ratio' ? [gold, given] : [given, gold];
    return (
      'args' in ratio && ratio.args.length === 2 && collection(other) === undefined && sameExpression(ratio, other)
    );
  }
  const [a, b] = [gold.args, given.args];
  return a.length === b.length && a.every((_, i) => a.every((_, j) => j >= i || crossEqual(a, b, i, j)));
}

function crossEqual(a: readonly Node[], b: readonly Node[], i: number, j: number): boolean {
  return sameExpression(call('multiply', a[i]!, b[j]!), call('multiply', a[j]!, b[i]!));
}

/** Numbers and expressions with optional units. "50%" equals both 50 and 0.5, and "30°" both 30 and pi/6. */
function sameQuantity(gold: Node, given: Node): boolean {
  const [a, b] = [measured(gold), measured(given)];
  if (a.unit === b.unit) return sameExpression(a.body, b.body);
  if (a.unit !== undefined && b.unit !== undefined) {
    if (sameWords(a.unit, b.unit)) return sameExpression(a.body, b.body);
    const ratio = unitRatio(a.unit, b.unit);
    return ratio !== undefined && sameExpression(call('multiply', a.body, { op: 'number', value: ratio }), b.body);
  }
  if (sameExpression(a.body, b.body)) return true;
  const factor = worth[(a.unit ?? b.unit)!];
  if (!factor) return false;
  const scaled = (side: { body: Node; unit?: string }) => (side.unit ? call('multiply', side.body, factor) : side.body);
  return sameExpression(scaled(a), scaled(b));
}

function measured(node: Node): { body: Node; unit?: string } {
  if (node.op === 'unit') return { body: node.args[0], unit: node.unit };
  if (node.op === 'percent') return { body: node.args[0]!, unit: 'percent' };
  if (node.op === 'negate') {
    const { body, unit } = measured(node.args[0]!);
    return unit === undefined ? { body: node } : { body: call('negate', body), unit };
  }
  // A degree sign may follow any term as a unit; inside a sine it is part of the number.
  const inDegrees = some(node, (part) => part.op === 'degrees') && !some(node, (part) => trigonometric.has(part.op));
  return inDegrees ? { body: withoutDegrees(node), unit: 'degrees' } : { body: node };
}

const trigonometric = new Set<string>(['sin', 'cos', 'tan', 'cot', 'sec', 'csc']);

function withoutDegrees(node: Node): Node {
  return node.op === 'degrees' ? withoutDegrees(node.args[0]!) : withParts(node, withoutDegrees);
}

const worth: Record<string, Node> = {
  percent: { op: 'number', value: new Fraction(1, 100) },
  degrees: call('divide', { op: 'constant', name: 'pi' }, { op: 'number', value: new Fraction(180) }),
};
