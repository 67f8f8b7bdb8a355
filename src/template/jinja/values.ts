/**
 * Part of the program of python_semantics.ts: values as Python prints, compares, orders and iterates them.
 */
export const VALUES = String.raw`
  // --- values as Python prints them ---

  const NAMES = new Map([[Int, 'int'], [Float, 'float'], [Str, 'str'], [Bool, 'bool'], [Null, 'None'], [Undef, 'undefined'],
    [List, 'list'], [Tuple, 'tuple'], [Dict, 'dict'], [Fn, 'function'], [Namespace, 'namespace']]);
  const kind = (value) => NAMES.get(value.constructor) || 'value';
  const isText = (value) => value instanceof Str;
  const isNumber = (value) => value instanceof Int || value instanceof Float || value instanceof Bool;
  const isUndef = (value) => value instanceof Undef;
  const points = (text) => Array.from(text);

  function floatText(x) {
    if (Number.isNaN(x)) return 'nan';
    if (!Number.isFinite(x)) return x > 0 ? 'inf' : '-inf';
    if (Object.is(x, -0)) return '-0.0';
    const [digits, exponent] = x.toExponential().split('e');
    if (x !== 0 && (exponent < -4 || exponent >= 16))
      return digits + 'e' + exponent[0] + exponent.slice(1).padStart(2, '0');
    return Number.isInteger(x) ? x + '.0' : String(x);
  }
  const ESCAPES = new Map([['\\', '\\\\'], ['\n', '\\n'], ['\r', '\\r'], ['\t', '\\t']]);
  function quoted(text) {
    const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
    const body = points(text).map((c) => {
      if (ESCAPES.has(c)) return ESCAPES.get(c);
      if (c === quote) return '\\' + c;
      if (c === ' ' || !/[\p{C}\p{Z}]/u.test(c)) return c;
      const code = c.codePointAt(0);
      const [mark, width] = code < 256 ? ['x', 2] : code < 65536 ? ['u', 4] : ['U', 8];
      return '\\' + mark + code.toString(16).padStart(width, '0');
    });
    return quote + body.join('') + quote;
  }
  function repr(value) {
    if (isText(value)) return quoted(value.value);
    return isUndef(value) ? 'Undefined' : str(value);
  }
  function str(value) {
    if (isText(value)) return value.value;
    if (value instanceof Int) return String(value.value);
    if (value instanceof Float) return floatText(value.value);
    if (value instanceof Bool) return value.value ? 'True' : 'False';
    if (value instanceof Null) return 'None';
    if (isUndef(value)) return '';
    if (value.printed !== undefined) return value.printed(value) || unsupported('printing what ' + value.from + ' gives');
    if (value instanceof Tuple) return '(' + value.value.map(repr).join(', ') + (value.value.length === 1 ? ',)' : ')');
    if (value instanceof List) return '[' + value.value.map(repr).join(', ') + ']';
    if (value instanceof Dict)
      return '{' + [...value.value].map(([key, x]) => quoted(key) + ': ' + repr(x)).join(', ') + '}';
    return unsupported('printing a ' + kind(value));
  }
  const text = (value) => new Str(value);
  const list = (values) => new List(values);
  const lazy = (from, values) => Object.assign(new List(values), { from, printed: () => null });
  const view = (from, values) =>
    Object.assign(new List(values), { from, printed: (self) => 'dict_' + from + '([' + self.value.map(repr).join(', ') + '])' });
  const pairs = (dict) => [...dict.value].map(([key, value]) => new Tuple([text(key), value]));
  const whole = (x) =>
    Number.isSafeInteger(x) ? new Int(x === 0 ? 0 : x) : unsupported('a whole number beyond 2^53');

  // --- comparing, iterating ---

  function same(a, b) {
    if (isNumber(a) && isNumber(b)) return Number(a.value) === Number(b.value);
    if (a instanceof List && b instanceof List)
      return a instanceof Tuple === b instanceof Tuple && a.value.length === b.value.length &&
        a.value.every((x, i) => same(x, b.value[i]));
    if (a instanceof Dict && b instanceof Dict)
      return a.value.size === b.value.size && [...a.value].every(([key, x]) => b.value.has(key) && same(x, b.value.get(key)));
    if (a.constructor !== b.constructor) return false;
    return a instanceof Null || isUndef(a) || (isText(a) ? a.value === b.value : a === b);
  }
  function orderOfTexts(a, b) {
    const [left, right] = [points(a), points(b)];
    for (let i = 0; i < left.length && i < right.length; i++) {
      const difference = left[i].codePointAt(0) - right[i].codePointAt(0);
      if (difference !== 0) return difference;
    }
    return left.length - right.length;
  }
  function order(a, b) {
    if (isNumber(a) && isNumber(b)) return Number(a.value) - Number(b.value);
    if (isText(a) && isText(b)) return orderOfTexts(a.value, b.value);
    if (a instanceof List && b instanceof List && a instanceof Tuple === b instanceof Tuple) {
      const at = a.value.findIndex((x, i) => i >= b.value.length || !same(x, b.value[i]));
      if (at < 0) return a.value.length - b.value.length;
      return at < b.value.length ? order(a.value[at], b.value[at]) : 1;
    }
    return fail('cannot order ' + kind(a) + ' and ' + kind(b));
  }
  function items(value) {
    if (value instanceof List) return value.value;
    if (value instanceof Dict) return [...value.value.keys()].map(text);
    if (isText(value)) return points(value.value).map(text);
    if (isUndef(value)) return [];
    return fail('cannot iterate over ' + kind(value));
  }
  function isIn(a, b) {
    if (isText(b)) return isText(a) ? b.value.includes(a.value) : fail('cannot look for ' + kind(a) + ' in str');
    if (b instanceof Dict) return isText(a) && b.value.has(a.value);
    return items(b).some((x) => same(a, x));
  }
  const isTrue = (value) => value.__bool__().value;
`;
