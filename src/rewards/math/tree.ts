/**
 * The tree of a parsed mathematical answer. Knows its structure, not its value.
 */
import type Fraction from 'fraction.js';

export interface NumberNode {
  readonly op: 'number';
  readonly value: Fraction;
  /** For a number written with a point: its significant digits and its decimals. `0.3330` has 4 and 4. */
  readonly written?: { readonly significant: number; readonly decimals: number };
}

export interface SymbolNode {
  readonly op: 'symbol';
  readonly name: string;
}

/** `pi`, `e`, `i`, `infinity`, and the sets `reals`, `empty`, `integers`, ... */
export interface ConstantNode {
  readonly op: 'constant';
  readonly name: string;
}

/** An operation, function or arrangement of parts. */
export interface CallNode {
  readonly op: Operation;
  readonly args: readonly Node[];
}

/** Items in a pair of brackets: a point, an interval, a vector. */
export interface BracketNode {
  readonly op: 'bracket';
  readonly open: '(' | '[' | '<';
  readonly close: ')' | ']' | '>';
  readonly args: readonly Node[];
}

/** A chain such as `1 < x \le 5`, with one sign fewer than operands. */
export interface RelationNode {
  readonly op: 'relation';
  readonly signs: readonly RelationSign[];
  readonly args: readonly Node[];
}

export type RelationSign = '=' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'notin';

/** Several items, and the word or comma that joins them. */
export interface ListNode {
  readonly op: 'list';
  readonly joint: ',' | 'or' | 'and';
  readonly args: readonly Node[];
}

export interface MatrixNode {
  readonly op: 'matrix';
  readonly columns: number;
  readonly args: readonly Node[];
}

/** A quantity such as `5 cm`. */
export interface UnitNode {
  readonly op: 'unit';
  readonly unit: string;
  readonly args: readonly [Node];
}

export type Operation =
  | 'add'
  | 'multiply'
  | 'divide'
  | 'power'
  | 'negate'
  | 'plus-minus'
  | 'minus-plus'
  | 'percent'
  | 'degrees'
  | 'factorial'
  | 'double-factorial'
  | 'binomial'
  | 'root'
  | 'log'
  | 'sum'
  | 'product'
  | 'set'
  | 'union'
  | 'intersection'
  | 'without'
  | 'such-that'
  | 'ratio'
  | 'conjugate'
  | FunctionName;

/** Functions of one number, and `max`, `min`, `gcd`, `lcm`, `mod` of several. */
export const functionNames = [
  ...['arcsin', 'arccos', 'arctan', 'arccot', 'sinh', 'cosh', 'tanh', 'sin', 'cos', 'tan', 'cot', 'sec', 'csc'],
  ...['ln', 'exp', 'abs', 'floor', 'ceil', 'max', 'min', 'gcd', 'lcm', 'mod'],
] as const;

export type FunctionName = (typeof functionNames)[number];

export type Node =
  | NumberNode
  | SymbolNode
  | ConstantNode
  | CallNode
  | BracketNode
  | RelationNode
  | ListNode
  | MatrixNode
  | UnitNode;

export function call(op: Operation, ...args: readonly Node[]): CallNode {
  return { op, args };
}

/** The parts of a node; empty for a leaf. */
export function parts(node: Node): readonly Node[] {
  return 'args' in node ? node.args : [];
}

/** Whether the node or a part of it satisfies the test. */
export function some(node: Node, test: (node: Node) => boolean): boolean {
  return test(node) || parts(node).some((part) => some(part, test));
}

/** The same node with each part replaced. */
export function withParts(node: Node, replace: (part: Node) => Node): Node {
  return 'args' in node ? ({ ...node, args: node.args.map(replace) } as Node) : node;
}

/** The sorted names of the unknowns, without the running index of a sum or product. */
export function unknowns(node: Node): string[] {
  const names = new Set<string>();
  const visit = (at: Node, bound: readonly string[]): void => {
    if (at.op === 'symbol') {
      if (!bound.includes(at.name)) names.add(at.name);
    } else if (at.op === 'sum' || at.op === 'product') {
      const [index, from, to, body] = at.args;
      visit(from!, bound);
      visit(to!, bound);
      visit(body!, [...bound, (index as SymbolNode).name]);
    } else for (const part of parts(at)) visit(part, bound);
  };
  visit(node, []);
  return [...names].sort();
}

/** Whether two trees have the same form, part by part. Numbers are compared by value. */
export function sameForm(a: Node, b: Node): boolean {
  if (a.op !== b.op) return false;
  if (a.op === 'number') return a.value.equals((b as NumberNode).value);
  const [x, y] = [parts(a), parts(b)];
  const plain = (node: Node) => JSON.stringify({ ...node, args: undefined });
  return plain(a) === plain(b) && x.length === y.length && x.every((part, i) => sameForm(part, y[i]!));
}
