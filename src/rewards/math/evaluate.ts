/**
 * Evaluates an expression at given values of its unknowns. Knows the meaning of each operation, not its notation.
 */
import Fraction from 'fraction.js';
import { type Arithmetic, isExact, isInteger, isZero, NoValue, smallInteger, type Value } from './arithmetic.ts';
import type { CallNode, Node, SymbolNode } from './tree.ts';

export type Point = ReadonlyMap<string, Value>;

/** @throws NoValue if the expression has no value, or one that is too large to compute */
export function evaluate(node: Node, ar: Arithmetic, point: Point): Value {
  switch (node.op) {
    case 'number':
      return node.value;
    case 'symbol': {
      const value = point.get(node.name);
      if (value === undefined) throw new NoValue(node.name);
      return value;
    }
    case 'constant':
      if (node.name === 'pi') return ar.pi();
      if (node.name === 'e') return ar.e();
      if (node.name === 'i') return ar.i();
      throw new NoValue(node.name);
    case 'bracket':
    case 'relation':
    case 'list':
    case 'matrix':
    case 'unit':
      throw new NoValue(`${node.op} inside an expression`);
    default:
      return operate(node, ar, point);
  }
}

// --- internal ---

function operate(node: CallNode, ar: Arithmetic, point: Point): Value {
  if (node.op === 'sum' || node.op === 'product') return series(node, ar, point);
  const values = node.args.map((part) => evaluate(part, ar, point));
  const [x, y] = values as [Value, Value];
  switch (node.op) {
    case 'add':
      return values.reduce(ar.add);
    case 'multiply':
      return values.reduce(ar.multiply);
    case 'divide':
      return ar.divide(x, y);
    case 'power':
      // exp tracks the error exactly; a power of a rounded e would add to it
      return node.args[0]!.op === 'constant' && node.args[0]!.name === 'e' ? ar.exp(y) : ar.power(x, y);
    case 'negate':
      return ar.negate(x);
    case 'percent':
      return ar.divide(x, new Fraction(100));
    case 'degrees':
      return ar.divide(ar.multiply(x, ar.pi()), new Fraction(180));
    case 'factorial':
      return ar.factorial(x);
    case 'double-factorial':
      return ar.factorial(x, 2);
    case 'binomial':
      return ar.binomial(x, y);
    case 'root': {
      const order = smallInteger(y, 1000);
      return order === undefined || order < 1 ? ar.power(x, ar.divide(new Fraction(1), y)) : ar.root(x, order);
    }
    case 'log':
      return ar.divide(ar.ln(x), ar.ln(y));
    case 'ratio':
      return ar.divide(x, y);
    case 'conjugate':
      return ar.conjugate(x);
    case 'exp':
      return ar.exp(x);
    case 'ln':
      return ar.ln(x);
    case 'sin':
      return ar.sin(x);
    case 'cos':
      return ar.cos(x);
    case 'tan':
      return ar.divide(ar.sin(x), ar.cos(x));
    case 'cot':
      return ar.divide(ar.cos(x), ar.sin(x));
    case 'sec':
      return ar.divide(new Fraction(1), ar.cos(x));
    case 'csc':
      return ar.divide(new Fraction(1), ar.sin(x));
    case 'arcsin':
      return ar.arcsin(x);
    case 'arccos':
      return ar.subtract(ar.quarterTurn(), ar.arcsin(x));
    case 'arctan':
      return ar.arctan(x);
    case 'arccot':
      return ar.subtract(ar.quarterTurn(), ar.arctan(x));
    case 'sinh':
      return half(ar, ar.subtract(ar.exp(x), ar.exp(ar.negate(x))));
    case 'cosh':
      return half(ar, ar.add(ar.exp(x), ar.exp(ar.negate(x))));
    case 'tanh': {
      const twice = ar.exp(ar.multiply(x, new Fraction(2)));
      return ar.divide(ar.subtract(twice, new Fraction(1)), ar.add(twice, new Fraction(1)));
    }
    case 'abs':
      return ar.abs(x);
    case 'floor':
      return ar.floor(x);
    case 'ceil':
      return ar.negate(ar.floor(ar.negate(x)));
    case 'max':
      return values.reduce((best, next) => (ar.sign(ar.subtract(next, best)) > 0 ? next : best));
    case 'min':
      return values.reduce((best, next) => (ar.sign(ar.subtract(next, best)) < 0 ? next : best));
    case 'gcd':
      return values.reduce((a, b) => integers(a, b, (m, n) => m.gcd(n)));
    case 'lcm':
      return values.reduce((a, b) => integers(a, b, (m, n) => m.lcm(n)));
    case 'mod':
      if (!isExact(x) || !isExact(y) || isZero(y)) throw new NoValue('mod');
      return x.sub(y.mul(x.div(y).floor()));
    default:
      throw new NoValue(`${node.op} inside an expression`);
  }
}

function half(ar: Arithmetic, value: Value): Value {
  return ar.divide(value, new Fraction(2));
}

function integers(a: Value, b: Value, combine: (m: Fraction, n: Fraction) => Fraction): Value {
  if (!isInteger(a) || !isInteger(b)) throw new NoValue('defined for integers only');
  return combine(a.abs(), b.abs());
}

/** Adds or multiplies term by term; the deadline of the process limits their number. */
function series(node: CallNode, ar: Arithmetic, point: Point): Value {
  const [index, from, to, body] = node.args;
  const first = smallInteger(evaluate(from!, ar, point), Number.MAX_SAFE_INTEGER);
  const last = smallInteger(evaluate(to!, ar, point), Number.MAX_SAFE_INTEGER);
  if (first === undefined || last === undefined) throw new NoValue('bounds of a sum');
  const inner = new Map(point);
  let total: Value = new Fraction(node.op === 'sum' ? 0 : 1);
  for (let k = first; k <= last; k++) {
    inner.set((index as SymbolNode).name, new Fraction(k));
    const term = evaluate(body!, ar, inner);
    total = node.op === 'sum' ? ar.add(total, term) : ar.multiply(total, term);
  }
  return total;
}
