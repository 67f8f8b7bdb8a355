/**
 * Arithmetic with tracked rounding: rationals are exact, and every other number carries a bound on its error. Numbers are
 * therefore called different only if they are, and equal only if they agree to hundreds of digits. Knows numbers only.
 */
import { Decimal } from 'decimal.js';
import Fraction from 'fraction.js';

/** A complex number whose distance from the true value is at most `10^error`; `error` is -Infinity for an exact number. */
export interface Ball {
  readonly re: Decimal;
  readonly im: Decimal;
  readonly error: number;
}

export type Value = Fraction | Ball;

/** Thrown for a value that cannot be computed: a division by zero, a function outside its domain, a number too large. */
export class NoValue extends Error {}

/** Limit on the bits of exact numerators and denominators (six thousand decimal digits); larger ones are rounded. */
const exactBits = 20_000;
/** Limit on the number of factors of a factorial or binomial coefficient. */
const factorialLimit = 10_000;
/** Limit on angles, as a power of ten; sines and cosines of larger ones would need too many digits of pi. */
const trigonometricLimit = 60;

export function isExact(value: Value): value is Fraction {
  return value instanceof Fraction;
}

export function isInteger(value: Value): value is Fraction {
  return isExact(value) && value.d === 1n;
}

/** An integer as a JavaScript number; undefined if the value is not an integer or exceeds the limit. */
export function smallInteger(value: Value, limit: number): number | undefined {
  return isInteger(value) && value.n <= BigInt(limit) ? Number(value.s * value.n) : undefined;
}

export type Arithmetic = ReturnType<typeof arithmetic>;

/** The operations at a precision of `digits` decimal digits. */
export function arithmetic(digits: number) {
  const D = Decimal.clone({ precision: digits, rounding: Decimal.ROUND_HALF_EVEN, maxE: 9e15, minE: -9e15 });
  const zero = new D(0);
  const largestExact = 10n ** BigInt(digits);
  /** Rounding error of a result, as a power of ten; the last three digits of the library's results are not trusted. */
  const rounding = (z: { re: Decimal; im: Decimal }) => upper(z) - digits + 3;

  const ball = (re: Decimal, im: Decimal, error: number): Ball => {
    if (!re.isFinite() || !im.isFinite() || Number.isNaN(error)) throw new NoValue('too large');
    return { re, im, error };
  };
  const rounded = (re: Decimal, im: Decimal, ...errors: number[]) =>
    ball(re, im, logSum(...errors, rounding({ re, im })));

  function toBall(value: Value): Ball {
    if (!isExact(value)) return value;
    const over = new D((value.s * value.n).toString());
    return value.d === 1n && value.n < largestExact
      ? ball(over, zero, -Infinity)
      : rounded(over.div(new D(value.d.toString())), zero);
  }

  /** The value as a real number. Complex numbers are refused, for operations such as order, floor and arcsine. */
  function real(value: Value): Ball {
    const b = toBall(value);
    if (b.im.isZero()) return b;
    if (lower({ re: b.im, im: zero }) > b.error) throw new NoValue('not a real number');
    return { ...b, im: zero };
  }

  const both = (a: Value, b: Value, exact: (a: Fraction, b: Fraction) => Fraction) => {
    if (!isExact(a) || !isExact(b)) return undefined;
    const result = exact(a, b);
    return isShort(result) ? result : toBall(result);
  };

  function add(a: Value, b: Value): Value {
    const exact = both(a, b, (x, y) => x.add(y));
    if (exact) return exact;
    const [x, y] = [toBall(a), toBall(b)];
    return rounded(x.re.add(y.re), x.im.add(y.im), x.error, y.error);
  }

  function negate(a: Value): Value {
    return isExact(a) ? a.neg() : { re: a.re.neg(), im: a.im.neg(), error: a.error };
  }

  const subtract = (a: Value, b: Value) => add(a, negate(b));

  function multiply(a: Value, b: Value): Value {
    const exact = both(a, b, (x, y) => x.mul(y));
    if (exact) return exact;
    if (isZero(a) || isZero(b)) return new Fraction(0);
    const [x, y] = [toBall(a), toBall(b)];
    const re = x.re.mul(y.re).sub(x.im.mul(y.im));
    const im = x.re.mul(y.im).add(x.im.mul(y.re));
    const size = upper(x) + upper(y);
    const inner = x.im.isZero() && y.im.isZero() ? -Infinity : size - digits + 1;
    return rounded(re, im, x.error + upper(y), y.error + upper(x), x.error + y.error, inner);
  }

  function inverse(a: Value): Value {
    if (isZero(a)) throw new NoValue('division by zero');
    if (isExact(a)) return a.inverse();
    if (lower(a) <= a.error + 1) throw new NoValue('division by a number that may be zero');
    const size = a.re.mul(a.re).add(a.im.mul(a.im));
    return rounded(a.re.div(size), a.im.neg().div(size), a.error - 2 * lower(a) + 0.2);
  }

  const divide = (a: Value, b: Value) => multiply(a, inverse(b));

  /** Integer powers, by repeated squaring. */
  function wholePower(base: Value, exponent: bigint): Value {
    if (exponent < 0n) return inverse(wholePower(base, -exponent));
    if (isExact(base) && BigInt(bits(base.n) + bits(base.d)) * exponent <= BigInt(exactBits)) {
      return new Fraction((base.s < 0n ? -base.n : base.n) ** exponent, base.d ** exponent);
    }
    let result: Value = new Fraction(1);
    let square: Value = isExact(base) && base.n <= 1n && base.d === 1n ? base : toBall(base);
    for (let left = exponent; left > 0n; left >>= 1n) {
      if (left & 1n) result = multiply(result, square);
      if (left > 1n) square = multiply(square, square);
    }
    return result;
  }

  /** Odd roots of negative numbers are the real roots, as usual in answers, not the principal ones. */
  function power(base: Value, exponent: Value): Value {
    if (isInteger(exponent)) {
      if (isZero(base) && exponent.n === 0n) throw new NoValue('0^0');
      return wholePower(base, exponent.s * exponent.n);
    }
    if (isZero(base)) {
      if (!(real(exponent).re.gt(0) && lower(toBall(exponent)) > toBall(exponent).error)) throw new NoValue('0^x');
      return new Fraction(0);
    }
    if (isExact(exponent) && exponent.d <= 1000n) {
      return wholePower(root(base, Number(exponent.d)), exponent.s * exponent.n);
    }
    return exp(multiply(exponent, ln(base)));
  }

  function root(value: Value, order: number): Value {
    if (order < 1 || !Number.isInteger(order)) throw new NoValue('order of a root');
    const exact = isExact(value) ? exactRoot(value, order) : undefined;
    if (exact) return exact;
    const b = toBall(value);
    const isReal = b.im.isZero() || lower({ re: b.im, im: zero }) <= b.error;
    if (!isReal) return exp(divide(ln(b), new Fraction(order)));
    if (upper(b) <= b.error) return ball(zero, zero, b.error / order + 1);
    const size = b.re.abs();
    const plain = order === 2 ? size.sqrt() : order === 3 ? size.cbrt() : size.pow(new D(1).div(order));
    const exponentError = Math.log10(Math.abs(lower(b)) + 1) + 1 - digits; // error of 1/order, times the logarithm of the size
    const error = Math.max(b.error - lower(b), exponentError) + upper({ re: plain, im: zero }) + 1;
    if (b.re.gt(0)) return rounded(plain, zero, error);
    if (order % 2 === 1) return rounded(plain.neg(), zero, error);
    return order === 2 ? rounded(zero, plain, error) : exp(divide(ln(b), new Fraction(order)));
  }

  function exp(value: Value): Value {
    if (isZero(value)) return new Fraction(1);
    const z = toBall(value);
    if (z.error > -1) throw new NoValue('too inexact');
    const size = z.re.exp();
    const error = z.error + upper({ re: size, im: zero }) + 0.5;
    if (z.im.isZero()) return rounded(size, zero, error);
    checkAngle(z);
    return rounded(size.mul(z.im.cos()), size.mul(z.im.sin()), error, upper({ re: size, im: zero }) - digits + 3);
  }

  function ln(value: Value): Value {
    if (isExact(value) && value.equals(1)) return new Fraction(0);
    const z = toBall(value);
    if (z.re.isZero() && z.im.isZero()) throw new NoValue('logarithm of zero');
    if (lower(z) <= z.error + 1) throw new NoValue('logarithm of a number that may be zero');
    const error = z.error - lower(z) + 0.5;
    if (z.im.isZero() && z.re.gt(0)) return rounded(z.re.ln(), zero, error);
    const size = z.re.mul(z.re).add(z.im.mul(z.im)).sqrt();
    const angle = D.atan2(z.im, z.re);
    return rounded(size.ln(), angle, error, 3 - digits);
  }

  function checkAngle(z: Ball): void {
    if (upper(z) > trigonometricLimit || z.error > -1) throw new NoValue('angle too large');
  }

  function sin(value: Value): Value {
    if (isZero(value)) return new Fraction(0);
    const z = toBall(value);
    checkAngle(z);
    if (z.im.isZero()) return rounded(z.re.sin(), zero, z.error, 3 - digits);
    const [c, s] = [z.im.cosh(), z.im.sinh()];
    const size = upper({ re: c, im: zero });
    return rounded(z.re.sin().mul(c), z.re.cos().mul(s), z.error + size, size - digits + 3);
  }

  function cos(value: Value): Value {
    if (isZero(value)) return new Fraction(1);
    const z = toBall(value);
    checkAngle(z);
    if (z.im.isZero()) return rounded(z.re.cos(), zero, z.error, 3 - digits);
    const [c, s] = [z.im.cosh(), z.im.sinh()];
    const size = upper({ re: c, im: zero });
    return rounded(z.re.cos().mul(c), z.re.sin().mul(s).neg(), z.error + size, size - digits + 3);
  }

  function arcsin(value: Value): Value {
    if (isZero(value)) return new Fraction(0);
    const z = real(value);
    const room = new D(1).sub(z.re.mul(z.re));
    const doubt = Math.max(z.error + 1, 2 - digits);
    if (room.gt(0) && lower({ re: room, im: zero }) > doubt + 1) {
      return rounded(z.re.asin(), zero, z.error - lower({ re: room, im: zero }) / 2 + 0.5);
    }
    if (lower({ re: room, im: zero }) > doubt + 1) throw new NoValue('arcsine beyond 1');
    const edge = halfPi();
    return rounded(
      z.re.gt(0) ? edge : edge.neg(),
      zero,
      room.isZero() && z.error === -Infinity ? -digits : doubt / 2 + 1,
    );
  }

  function arctan(value: Value): Value {
    if (isZero(value)) return new Fraction(0);
    const z = real(value);
    return rounded(z.re.atan(), zero, z.error);
  }

  const halfPi = () => D.acos(-1).div(2);
  const pi = (): Ball => rounded(D.acos(-1), zero);
  const e = (): Ball => rounded(new D(1).exp(), zero);
  const i = (): Ball => ball(zero, new D(1), -Infinity);
  const quarterTurn = (): Value => divide(pi(), new Fraction(2));

  function abs(value: Value): Value {
    if (isExact(value)) return value.abs();
    if (value.im.isZero()) return { ...value, re: value.re.abs() };
    return rounded(value.re.mul(value.re).add(value.im.mul(value.im)).sqrt(), zero, value.error);
  }

  function conjugate(value: Value): Value {
    return isExact(value) ? value : { ...value, im: value.im.neg() };
  }

  /** -1, 0 or 1; 0 also for a number that cannot be distinguished from zero at this precision. */
  function sign(value: Value): number {
    if (isExact(value)) return Number(value.n === 0n ? 0n : value.s);
    const z = real(value);
    return lower(z) > z.error ? z.re.s : 0;
  }

  function floor(value: Value): Value {
    if (isExact(value)) return value.floor();
    const z = real(value);
    if (upper(z) > digits - 5) throw new NoValue('too large to be rounded');
    const [below, above] = [z.re.sub(radius(z)).floor(), z.re.add(radius(z)).floor()];
    if (!below.eq(above)) throw new NoValue('too close to an integer');
    return new Fraction(below.toFixed(0));
  }
  const radius = (z: Ball) => (z.error === -Infinity ? zero : new D(10).pow(Math.ceil(z.error)));

  function factorial(value: Value, step: 1 | 2 = 1): Value {
    const n = smallInteger(value, factorialLimit);
    if (n === undefined || n < 0) throw new NoValue('factorial');
    let exact: bigint | undefined = 1n;
    let product: Value = new Fraction(1);
    for (let k = n; k > 1; k -= step) {
      if (exact !== undefined) {
        exact *= BigInt(k);
        if (k % 64 < step && bits(exact) > exactBits) {
          product = toBall(new Fraction(exact, 1n));
          exact = undefined;
        }
      } else product = multiply(product, new Fraction(k));
    }
    return exact === undefined ? product : new Fraction(exact, 1n);
  }

  function binomial(upperValue: Value, lowerValue: Value): Value {
    const k = smallInteger(lowerValue, factorialLimit);
    if (k === undefined) throw new NoValue('binomial coefficient');
    if (k < 0) return new Fraction(0);
    const n = smallInteger(upperValue, 1e15);
    const few = n !== undefined && n >= 0 && n - k < k ? n - k : k;
    if (few < 0) return new Fraction(0);
    let result: Value = new Fraction(1);
    for (let j = 1; j <= few; j++) {
      result = divide(multiply(result, add(upperValue, new Fraction(j - few))), new Fraction(j));
    }
    return result;
  }

  return {
    digits,
    ...{ toBall, add, subtract, multiply, divide, negate, power, root, abs, conjugate, sign, floor },
    ...{ factorial, binomial, exp, ln, sin, cos, arcsin, arctan, pi, e, i, quarterTurn },
  };
}

export function isZero(value: Value): boolean {
  return isExact(value) && value.n === 0n;
}

/** Upper bound on log10 |z|, without the error of z. */
export function upper(z: { readonly re: Decimal; readonly im: Decimal }): number {
  return exponent(z) + 1.2;
}

/** Lower bound on log10 |z|, without the error of z. */
export function lower(z: { readonly re: Decimal; readonly im: Decimal }): number {
  return exponent(z);
}

// --- internal ---

function exponent(z: { readonly re: Decimal; readonly im: Decimal }): number {
  return Math.max(z.re.isZero() ? -Infinity : z.re.e, z.im.isZero() ? -Infinity : z.im.e);
}

/** Bound on the logarithm of a sum, from the logarithms of its terms. */
function logSum(...logs: number[]): number {
  const largest = Math.max(...logs);
  return largest === -Infinity ? largest : largest + Math.log10(logs.filter((log) => log > -Infinity).length);
}

function isShort(value: Fraction): boolean {
  return bits(value.n) <= exactBits && bits(value.d) <= exactBits;
}

function bits(n: bigint): number {
  return n.toString(16).length * 4;
}

function exactRoot(value: Fraction, order: number): Fraction | undefined {
  if (value.s < 0n && order % 2 === 0) return undefined;
  const over = integerRoot(value.n, order);
  const under = over === undefined ? undefined : integerRoot(value.d, order);
  return over === undefined || under === undefined ? undefined : new Fraction(value.s < 0n ? -over : over, under);
}

/** The integer root of an integer, if it exists, by Newton's method from above. */
function integerRoot(n: bigint, order: number): bigint | undefined {
  if (n < 2n || order === 1) return n;
  const k = BigInt(order);
  let x = 1n << BigInt(Math.ceil(bits(n) / order) + 1);
  for (;;) {
    const next = ((k - 1n) * x + n / x ** (k - 1n)) / k;
    if (next >= x) break;
    x = next;
  }
  return x ** k === n ? x : undefined;
}
