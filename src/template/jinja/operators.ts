/**
 * Part of the program of python_semantics.ts: Python's arithmetic, comparisons and `%` formatting.
 */
export const OPERATORS = `
  // --- operators ---

  function percent(format, values) {
    let next = 0;
    const done = format.replace(/%(.?)/gs, (whole, mark) => {
      if (mark === '%') return '%';
      if (mark !== 's' && mark !== 'd') return unsupported('the format ' + whole);
      const value = values[next++] || fail('not enough values for the format ' + format);
      if (mark === 's') return str(value);
      return isNumber(value) ? String(Math.trunc(Number(value.value))) : fail('%d of ' + kind(value));
    });
    return next === values.length ? text(done) : fail('too many values for the format ' + format);
  }
  function arithmetic(operator, left, right) {
    const [a, b] = [Number(left.value), Number(right.value)];
    const isFloat = left instanceof Float || right instanceof Float;
    const number = (x) => (isFloat ? new Float(x) : whole(x));
    if (b === 0 && ['/', '//', '%'].includes(operator)) fail('division by zero');
    const modulo = () => {
      const rest = a % b;
      return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
    };
    switch (operator) {
      case '+': return number(a + b);
      case '-': return number(a - b);
      case '*': return number(a * b);
      case '/': return new Float(a / b);
      case '%': return number(modulo());
      case '//': return number(Math.round((a - modulo()) / b));
      case '**': {
        if (a === 0 && b < 0) fail('0.0 cannot be raised to a negative power');
        if (!Number.isFinite(a ** b)) unsupported('a power that is not a finite number');
        return isFloat || b < 0 ? new Float(a ** b) : whole(a ** b);
      }
    }
  }
  function operate(operator, a, b) {
    switch (operator) {
      case '==': return new Bool(same(a, b));
      case '!=': return new Bool(!same(a, b));
      case 'in': return new Bool(isIn(a, b));
      case 'not in': return new Bool(!isIn(a, b));
      case '~': return text(str(a) + str(b));
      case '<': return new Bool(order(a, b) < 0);
      case '>': return new Bool(order(a, b) > 0);
      case '<=': return new Bool(order(a, b) <= 0);
      case '>=': return new Bool(order(a, b) >= 0);
    }
    if (isNumber(a) && isNumber(b)) return arithmetic(operator, a, b);
    if (operator === '%' && isText(a)) return percent(a.value, b instanceof Tuple ? b.value : [b]);
    if (operator === '+') {
      if (isText(a) && isText(b)) return text(a.value + b.value);
      if (a instanceof List && b instanceof List && a instanceof Tuple === b instanceof Tuple)
        return new a.constructor(a.value.concat(b.value));
    }
    if (operator === '*' && b instanceof Int) {
      const times = Math.max(0, b.value);
      if (isText(a)) return text(a.value.repeat(times));
      if (a instanceof List) {
        if (a.value.length * times > longestRange) limited('makes a list of ' + a.value.length * times + ' elements');
        return new a.constructor(Array.from({ length: times }, () => a.value).flat());
      }
    }
    return fail('cannot compute ' + kind(a) + ' ' + operator + ' ' + kind(b));
  }
`;
