/**
 * What @huggingface/jinja makes of a template, made to mean what Jinja in Python makes of it (jinja2 3.1.6 with the options of
 * transformers' apply_chat_template): loops, macros, operators, printing, methods, filters, tests. What neither of the two
 * renders alike is refused by its name. Knows the library's interpreter; not processes.
 */

/**
 * Plain CommonJS, for the program of render_process.ts: `mean(jinja, longestRange, limited)` changes the library's interpreter,
 * `parsed(jinja, source)` is a Template of it. test/template/jinja has cases, and the script that renders them in Python.
 */
export const PYTHON_MEANING = String.raw`
function unsupported(what, why = '') {
  throw Object.assign(new Error(what + ' is not supported here' + why), { unsupported: true });
}
function mean(jinja, longestRange, limited) {
  const { Environment, Interpreter } = jinja;
  const reader = new Interpreter();
  const scratch = new Environment();
  let made = 0;
  const of = (value) => scratch.set('made' + made++, value);
  const [Int, Float, Str, Bool, Null, Undef, List, Dict, Fn] =
    [1, 1.5, '', true, null, undefined, [], {}, () => null].map((value) => of(value).constructor);
  const Tuple = reader.evaluate({ type: 'TupleLiteral', value: [] }, scratch).constructor;
  const Namespace = scratch.lookupVariable('namespace').value([]).constructor;
  const caught = (type) => {
    try {
      reader.evaluate({ type }, scratch);
    } catch (error) {
      return error.constructor;
    }
  };
  const [Break, Continue] = [caught('Break'), caught('Continue')];
  let Keywords;
  scratch.setVariable('grab', new Fn(([last]) => {
    Keywords = last.constructor;
    return last;
  }));
  reader.evaluate({
    type: 'CallExpression',
    callee: { type: 'Identifier', value: 'grab' },
    args: [{ type: 'KeywordArgumentExpression', key: { value: 'k' }, value: { type: 'IntegerLiteral', value: 1 } }],
  }, scratch);
  const fail = (reason) => {
    throw new Error(reason);
  };

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
        if (!Number.isFinite(a ** b)) unsupported('a power that is no finite number');
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

  // --- JSON ---

  function json(value, { ascii, indent, separators, sorts }, depth = 0) {
    const [comma, colon] = separators || [indent === null ? ', ' : ',', ': '];
    const quote = (x) => {
      const plain = JSON.stringify(x);
      return ascii ? plain.replace(/[\x7f-\uffff]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0')) : plain;
    };
    const inside = (open, parts, close) => {
      if (indent === null || parts.length === 0) return open + parts.join(comma) + close;
      const line = (level) => '\n' + indent.repeat(level);
      return open + line(depth + 1) + parts.join(comma + line(depth + 1)) + line(depth) + close;
    };
    const nested = (x) => json(x, { ascii, indent, separators, sorts }, depth + 1);
    if (isText(value)) return quote(value.value);
    if (value instanceof Null) return 'null';
    if (value instanceof Bool) return String(value.value);
    if (value instanceof Int) return String(value.value);
    if (value instanceof Float) return floatText(value.value);
    if (value instanceof List && value.printed === undefined) return inside('[', value.value.map(nested), ']');
    if (value instanceof Dict) {
      const entries = [...value.value];
      if (sorts) entries.sort(([a], [b]) => orderOfTexts(a, b));
      return inside('{', entries.map(([key, x]) => quote(key) + colon + nested(x)), '}');
    }
    return fail('tojson of ' + kind(value) + ' is not possible');
  }

  // --- methods ---

  const SPACE = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
  const [AT_START, AT_END] = [new RegExp('^' + SPACE + '+'), new RegExp(SPACE + '+$')];
  const SPACES = new RegExp(SPACE + '+', 'g');
  function strip(string, characters, atStart, atEnd) {
    if (characters === undefined || characters instanceof Null) {
      const from = atStart ? string.replace(AT_START, '') : string;
      return text(atEnd ? trimEnd(from) : from);
    }
    if (!isText(characters)) fail('strip() of ' + kind(characters));
    const set = new Set(points(characters.value));
    const all = points(string);
    let [from, to] = [0, all.length];
    while (atStart && from < to && set.has(all[from])) from++;
    while (atEnd && to > from && set.has(all[to - 1])) to--;
    return text(all.slice(from, to).join(''));
  }
  /** AT_END would take quadratic time on long runs of spaces within the text. */
  function trimEnd(string) {
    const isSpace = new RegExp('^' + SPACE + '$');
    let end = string.length;
    while (end > 0 && isSpace.test(string[end - 1])) end--;
    return string.slice(0, end);
  }
  const lines = (string) => {
    const parts = string.split(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/);
    return parts.at(-1) === '' ? parts.slice(0, -1) : parts;
  };
  function split(string, separator, most, fromEnd) {
    const limit = most === undefined || most.value < 0 ? Infinity : most.value;
    if (separator === undefined || separator instanceof Null) {
      if (fromEnd && limit !== Infinity) return unsupported('rsplit() at spaces with a limit');
      const parts = [];
      let rest = string.replace(AT_START, '');
      while (rest !== '') {
        SPACES.lastIndex = 0;
        const found = parts.length < limit ? SPACES.exec(rest) : null;
        parts.push(found === null ? rest : rest.slice(0, found.index));
        rest = found === null ? '' : rest.slice(found.index + found[0].length);
      }
      return list(parts.map(text));
    }
    if (!isText(separator) || separator.value === '') fail('split() needs a separator that is a text, and not empty');
    const parts = string.split(separator.value);
    if (parts.length - 1 > limit) {
      if (fromEnd) parts.splice(0, parts.length - limit, parts.slice(0, parts.length - limit).join(separator.value));
      else parts.splice(limit, Infinity, parts.slice(limit).join(separator.value));
    }
    return list(parts.map(text));
  }
  const capitalize = (string) => {
    const [first = '', ...rest] = points(string);
    return first.toUpperCase() + rest.join('').toLowerCase();
  };
  const titled = (string) => string.replace(/\p{L}+/gu, capitalize);
  function replaced(string, from, to, count) {
    if (!isText(from) || !isText(to)) fail('replace() needs two texts');
    const limit = count === undefined || count instanceof Null || count.value < 0 ? Infinity : count.value;
    if (from.value === '') return unsupported('replace() of an empty text');
    const parts = string.split(from.value);
    const end = Math.min(limit, parts.length - 1);
    return text(parts.slice(0, end + 1).join(to.value) + parts.slice(end + 1).map((part) => from.value + part).join(''));
  }
  const textOf = (value, where) => (isText(value) ? value.value : fail(where + ' needs a text, not ' + kind(value)));
  const anyOf = (value) => (value instanceof Tuple ? value.value : [value]).map((x) => textOf(x, 'startswith() or endswith()'));
  /** Where a text lies in another, in characters; -1 if nowhere. */
  const placeOf = (string, part) => {
    const at = string.indexOf(textOf(part, 'find()'));
    return at < 0 ? -1 : points(string.slice(0, at)).length;
  };
  const isAll = (pattern) => (s) => new Bool(pattern.test(s));
  const METHODS = {
    strip: (s, c) => strip(s, c, true, true),
    lstrip: (s, c) => strip(s, c, true, false),
    rstrip: (s, c) => strip(s, c, false, true),
    upper: (s) => text(s.toUpperCase()),
    lower: (s) => text(s.toLowerCase()),
    capitalize: (s) => text(capitalize(s)),
    title: (s) => text(titled(s)),
    split: (s, separator, most) => split(s, separator, most, false),
    rsplit: (s, separator, most) => split(s, separator, most, true),
    splitlines: (s) => list(lines(s).map(text)),
    startswith: (s, start) => new Bool(anyOf(start).some((x) => s.startsWith(x))),
    endswith: (s, end) => new Bool(anyOf(end).some((x) => s.endsWith(x))),
    find: (s, part) => whole(placeOf(s, part)),
    index: (s, part) => (placeOf(s, part) < 0 ? fail('index(): the text is not there') : whole(placeOf(s, part))),
    count: (s, part) =>
      textOf(part, 'count()') === '' ? unsupported('count() of an empty text') : whole(s.split(part.value).length - 1),
    replace: (s, from, to, count) => replaced(s, from, to, count),
    join: (s, values) => text(items(values).map((x) => textOf(x, 'join()')).join(s)),
    removeprefix: (s, part) => text(s.startsWith(textOf(part, 'removeprefix()')) ? s.slice(part.value.length) : s),
    removesuffix: (s, part) =>
      text(part.value !== '' && s.endsWith(textOf(part, 'removesuffix()')) ? s.slice(0, -part.value.length) : s),
    isdigit: isAll(/^\p{Nd}+$/u),
    isalpha: isAll(/^\p{L}+$/u),
    isalnum: isAll(/^[\p{L}\p{Nd}]+$/u),
    isspace: isAll(new RegExp('^' + SPACE + '+$')),
    isupper: (s) => new Bool(s === s.toUpperCase() && s !== s.toLowerCase()),
    islower: (s) => new Bool(s === s.toLowerCase() && s !== s.toUpperCase()),
    partition: (s, separator) => {
      const at = s.indexOf(textOf(separator, 'partition()'));
      const parts = at < 0 ? [s, '', ''] : [s.slice(0, at), separator.value, s.slice(at + separator.value.length)];
      return new Tuple(parts.map(text));
    },
  };
  const LIST_METHODS = {
    index: (values, x) => {
      const at = values.findIndex((y) => same(x, y));
      return at < 0 ? fail('index(): the value is not in the list') : whole(at);
    },
    count: (values, x) => whole(values.filter((y) => same(x, y)).length),
  };
  const DICT_METHODS = {
    items: (dict) => view('items', pairs(dict)),
    keys: (dict) => view('keys', items(dict)),
    values: (dict) => view('values', [...dict.value.values()]),
    get: (dict, key, other) => (isText(key) && dict.value.get(key.value)) || other || new Null(),
  };
  /** Arguments by position; those by name, for the names that a function takes. */
  function positional(args, names, what) {
    const last = args.at(-1);
    if (last === undefined || last.type !== 'KeywordArgumentsValue') return args;
    const result = args.slice(0, -1);
    for (const [name, value] of last.value) {
      const at = names.indexOf(name);
      if (at < 0) fail(what + ' takes no argument ' + name);
      result[at] = value;
    }
    return result;
  }
  const METHOD_ARGUMENTS = { split: ['sep', 'maxsplit'], rsplit: ['sep', 'maxsplit'], replace: ['old', 'new', 'count'] };
  const method = (table, name, self) =>
    new Fn((args) => table[name](self, ...positional(args, METHOD_ARGUMENTS[name] || [], name + '()')));
  const own = (table, name) => Object.hasOwn(table, name);

  function member(object, name, computed) {
    if (object instanceof Dict) {
      const value = object.value.get(name);
      const found = own(DICT_METHODS, name) ? method(DICT_METHODS, name, object) : undefined;
      return (computed ? value || found : found || value) || new Undef();
    }
    if (object instanceof Namespace) return object.value.get(name) || new Undef();
    if (isText(object) && own(METHODS, name)) return method(METHODS, name, object.value);
    if (isText(object) && ['format', 'format_map', 'zfill', 'center', 'ljust', 'rjust', 'encode', 'rfind', 'rindex', 'rpartition',
      'swapcase', 'casefold', 'translate', 'expandtabs', 'isnumeric', 'isdecimal', 'istitle'].includes(name))
      return unsupported('the method ' + name + '() of a text');
    if (object instanceof List && own(LIST_METHODS, name)) return method(LIST_METHODS, name, object.value);
    return new Undef();
  }

  // --- filters and tests ---

  const attribute = (value, path) =>
    path instanceof Int
      ? at(value, path)
      : textOf(path, 'an attribute').split('.').reduce((x, part) =>
          /^\d+$/.test(part) ? at(x, new Int(Number(part))) : isUndef(x) ? x : member(x, part, true), value);
  function at(value, index) {
    if (value instanceof List) return value.value.at(index.value) || new Undef();
    if (isText(value)) {
      const character = points(value.value).at(index.value);
      return character === undefined ? new Undef() : text(character);
    }
    return new Undef();
  }
  const folded = (value) => (isText(value) ? text(value.value.toLowerCase()) : value);
  const flag = (value) => value !== undefined && isTrue(value);
  const TESTS = {
    defined: (x) => !isUndef(x),
    undefined: isUndef,
    none: (x) => x instanceof Null,
    boolean: (x) => x instanceof Bool,
    true: (x) => x instanceof Bool && x.value,
    false: (x) => x instanceof Bool && !x.value,
    integer: (x) => x instanceof Int,
    float: (x) => x instanceof Float,
    number: isNumber,
    string: isText,
    mapping: (x) => x instanceof Dict,
    sequence: (x) => x.from === undefined && (x instanceof List || x instanceof Dict || isText(x)),
    iterable: (x) => x instanceof List || x instanceof Dict || isText(x) || isUndef(x),
    callable: (x) => x instanceof Fn,
    odd: (x) => isTrue(operate('%', x, new Int(2))),
    even: (x) => !isTrue(operate('%', x, new Int(2))),
    divisibleby: (x, by) => !isTrue(operate('%', x, by)),
    lower: (x) => METHODS.islower(str(x)).value,
    upper: (x) => METHODS.isupper(str(x)).value,
    in: isIn,
  };
  for (const [names, operator] of [[['eq', 'equalto', '=='], '=='], [['ne', '!='], '!='], [['gt', 'greaterthan', '>'], '>'],
    [['ge', '>='], '>='], [['lt', 'lessthan', '<'], '<'], [['le', '<='], '<=']])
    for (const name of names) TESTS[name] = (a, b) => operate(operator, a, b).value;
  const testOf = (name) => (own(TESTS, name) ? TESTS[name] : unsupported('the test ' + name));

  /** Filters by name: the names of their arguments, and what they do with a value and those. */
  const FILTERS = {
    abs: [[], (x) => (x instanceof Float ? new Float(Math.abs(x.value)) : isNumber(x) ? whole(Math.abs(Number(x.value))) : fail('abs of ' + kind(x)))],
    capitalize: [[], (x) => text(capitalize(str(x)))],
    default: [['default_value', 'boolean'], (x, other = text(''), boolean) => (isUndef(x) || (flag(boolean) && !isTrue(x)) ? other : x)],
    dictsort: [['case_sensitive', 'by', 'reverse'], (x, sensitive, by, reverse) => {
      const place = by === undefined || by.value === 'key' ? 0 : 1;
      const key = (pair) => (flag(sensitive) ? pair.value[place] : folded(pair.value[place]));
      return list(sorted(pairs(x), key, flag(reverse)));
    }],
    first: [[], (x) => items(x)[0] || new Undef()],
    float: [['default'], (x, other = new Float(0)) => {
      const number = numberOf(x);
      return number === null ? other : new Float(number);
    }],
    format: [null, (x, ...values) => percent(str(x), values)],
    indent: [['width', 'first', 'blank'], (x, width = new Int(4), first, blank) => {
      const by = isText(width) ? width.value : ' '.repeat(width.value);
      const [head = '', ...rest] = lines(str(x) + '\n');
      const body = [head, ...rest.map((line) => (line === '' && !flag(blank) ? line : by + line))].join('\n');
      return text((flag(first) ? by : '') + body);
    }],
    int: [['default', 'base'], (x, other = new Int(0), base) => {
      if (base !== undefined) return unsupported('int with a base');
      const number = numberOf(x);
      return number === null || !Number.isFinite(number) ? other : whole(Math.trunc(number));
    }],
    items: [[], (x) => (isUndef(x) ? list([]) : x instanceof Dict ? lazy('items', pairs(x)) : fail('items of ' + kind(x)))],
    join: [['d', 'attribute'], (x, separator = text(''), path) =>
      text(items(x).map((value) => str(path === undefined ? value : attribute(value, path))).join(str(separator)))],
    last: [[], (x) => items(x).at(-1) || new Undef()],
    length: [[], (x) => (x.from !== undefined && x.printed(x) === null ? fail('length of what ' + x.from + ' gives') : whole(items(x).length))],
    list: [[], (x) => list(items(x).slice())],
    lower: [[], (x) => text(str(x).toLowerCase())],
    map: [null, (x, ...args) => unsupported('map without an attribute or a filter')],
    max: [['case_sensitive', 'attribute'], (x, sensitive, path) => extreme(x, sensitive, path, 1)],
    min: [['case_sensitive', 'attribute'], (x, sensitive, path) => extreme(x, sensitive, path, -1)],
    replace: [['old', 'new', 'count'], (x, from, to, count) => replaced(str(x), text(str(from)), text(str(to)), count)],
    reverse: [[], (x) => (isText(x) ? text(points(x.value).reverse().join('')) : lazy('reverse', items(x).slice().reverse()))],
    round: [['precision', 'method'], (x, precision = new Int(0), how = text('common')) => {
      if (!isNumber(x)) fail('round of ' + kind(x));
      const scale = 10 ** precision.value;
      const scaled = Number(x.value) * scale;
      if (how.value === 'ceil' || how.value === 'floor') return new Float(Math[how.value](scaled) / scale);
      if (how.value !== 'common') fail('round takes common, ceil or floor');
      if (Math.abs(scaled % 1) === 0.5 && precision.value !== 0) return unsupported('round of a number halfway between two');
      if (Math.abs(scaled % 1) === 0.5) return new Float(2 * Math.round(scaled / 2));
      return new Float(precision.value > 0 ? Number(Number(x.value).toFixed(precision.value)) : Math.round(scaled) / scale);
    }],
    safe: [[], (x) => x],
    sort: [['reverse', 'case_sensitive', 'attribute'], (x, reverse, sensitive, path) =>
      list(sorted(items(x), keyOf(sensitive, path), flag(reverse)))],
    string: [[], (x) => text(str(x))],
    sum: [['attribute', 'start'], (x, path, start = new Int(0)) =>
      items(x).map((y) => (path === undefined ? y : attribute(y, path))).reduce((a, b) => operate('+', a, b), start)],
    title: [[], (x) => text(str(x).split(/([-\s({[<]+)/).map(capitalize).join(''))],
    tojson: [['ensure_ascii', 'indent', 'separators', 'sort_keys'], (x, ascii, indent = new Null(), separators, sorts) => text(json(x, {
      ascii: flag(ascii),
      indent: indent instanceof Null ? null : isText(indent) ? indent.value : ' '.repeat(indent.value),
      separators: separators === undefined || separators instanceof Null ? null : separators.value.map((y) => y.value),
      sorts: flag(sorts),
    }))],
    trim: [['chars'], (x, characters) => strip(str(x), characters, true, true)],
    unique: [['case_sensitive', 'attribute'], (x, sensitive, path) => {
      const key = keyOf(sensitive, path);
      const kept = [];
      for (const value of items(x)) if (!kept.some((other) => same(key(other), key(value)))) kept.push(value);
      return lazy('unique', kept);
    }],
    upper: [[], (x) => text(str(x).toUpperCase())],
    wordcount: [[], (x) => whole((str(x).match(/[\p{L}\p{N}_]+/gu) || []).length)],
  };
  FILTERS.d = FILTERS.default;
  FILTERS.count = FILTERS.length;
  const keyOf = (sensitive, path) => (value) => {
    const key = path === undefined || path instanceof Null ? value : attribute(value, path);
    return flag(sensitive) ? key : folded(key);
  };
  function sorted(values, key, reverse) {
    return values.slice().sort((a, b) => (reverse ? order(key(b), key(a)) : order(key(a), key(b))));
  }
  function extreme(x, sensitive, path, sign) {
    const key = keyOf(sensitive, path);
    const values = items(x);
    return values.length === 0 ? new Undef() : values.reduce((a, b) => (sign * order(key(b), key(a)) > 0 ? b : a));
  }
  function numberOf(x) {
    if (isNumber(x)) return Number(x.value);
    if (!isText(x)) return null;
    const trimmed = strip(x.value, undefined, true, true).value.replace(/(\d)_(?=\d)/g, '$1');
    return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed) ? Number(trimmed) : null;
  }

  /** select, reject, selectattr and rejectattr: what a value is tested by. */
  function predicate(path, name, args) {
    const test = name === undefined ? isTrue : testOf(textOf(name, 'a test'));
    return (value) => test(path === null ? value : attribute(value, path), ...args);
  }
  function filtered(interpreter, name, x, nodes, environment) {
    const [args, named] = interpreter.evaluateArguments(nodes, environment);
    if (name === 'map') {
      if (named.has('attribute')) {
        const other = named.get('default');
        return lazy('map', items(x).map((value) => {
          const found = attribute(value, named.get('attribute'));
          return isUndef(found) && other !== undefined ? other : found;
        }));
      }
      const [inner, ...rest] = args;
      const how = textOf(inner || new Undef(), 'map');
      return lazy('map', items(x).map((value) => applied(how, value, rest, named)));
    }
    if (['select', 'reject', 'selectattr', 'rejectattr'].includes(name)) {
      const [path, test, ...rest] = name.endsWith('attr') ? args : [null, ...args];
      const holds = predicate(path, test, rest);
      return lazy(name, items(x).filter((value) => holds(value) === name.startsWith('select')));
    }
    return applied(name, x, args, named);
  }
  function applied(name, x, args, named) {
    if (!own(FILTERS, name)) return unsupported('the filter ' + name);
    const [names, compute] = FILTERS[name];
    const all = args.slice();
    for (const [key, value] of named) {
      const place = names === null ? -1 : names.indexOf(key);
      if (place < 0) fail('the filter ' + name + ' takes no argument ' + key);
      all[place] = value;
    }
    if (names !== null && all.length > names.length) fail('the filter ' + name + ' takes ' + names.length + ' arguments');
    return compute(x, ...all);
  }

  // --- the interpreter ---

  const silent = new Set(['Set', 'Macro', 'Comment']);
  const described = (node) => (node.type === 'Identifier' ? node.value : node.type === 'MemberExpression' && !node.computed ? node.property.value : 'a value');
  function bind(target, value, scope) {
    if (target.type === 'Identifier') return void scope.setVariable(target.value, value);
    if (target.type !== 'TupleLiteral') unsupported('a loop over ' + target.type);
    const values = isUndef(value) ? fail('cannot unpack an undefined value') : items(value);
    if (values.length !== target.value.length)
      fail('too ' + (values.length < target.value.length ? 'few' : 'many') + ' values to unpack');
    target.value.forEach((part, i) => bind(part, values[i], scope));
  }
  const loopOf = (values, i, state) => new Dict(new Map(Object.entries({
    index: new Int(i + 1),
    index0: new Int(i),
    revindex: new Int(values.length - i),
    revindex0: new Int(values.length - i - 1),
    first: new Bool(i === 0),
    last: new Bool(i === values.length - 1),
    length: new Int(values.length),
    previtem: values[i - 1] || new Undef(),
    nextitem: values[i + 1] || new Undef(),
    depth: new Int(1),
    depth0: new Int(0),
    cycle: new Fn((args) => args[i % args.length] || fail('no items for cycling given')),
    changed: new Fn((args) => {
      const changed = state.last === undefined || !same(list(args), state.last);
      state.last = list(args);
      return new Bool(changed);
    }),
  })));
  const { evaluate, evaluateMacro, evaluateSliceExpression, evaluateSet } = Interpreter.prototype;
  Object.assign(Interpreter.prototype, {
    evaluateBlock(statements, environment) {
      let written = '';
      for (const statement of statements) {
        try {
          const value = this.evaluate(statement, environment);
          if (!silent.has(statement.type)) written += str(value);
        } catch (error) {
          // What an iteration has written before it is left stays.
          if (error instanceof Break || error instanceof Continue) error.written = written + (error.written || '');
          throw error;
        }
      }
      return text(written);
    },
    evaluateFor(node, environment) {
      const hasTest = node.iterable.type === 'SelectExpression';
      const source = this.evaluate(hasTest ? node.iterable.lhs : node.iterable, environment);
      let values = items(source);
      if (hasTest) {
        values = values.filter((value) => {
          const scope = new Environment(environment);
          bind(node.loopvar, value, scope);
          return isTrue(this.evaluate(node.iterable.test, scope));
        });
      }
      let written = '';
      let goneThrough = false;
      const state = {};
      for (const [i, value] of values.entries()) {
        const scope = new Environment(environment);
        scope.setVariable('loop', loopOf(values, i, state));
        bind(node.loopvar, value, scope);
        try {
          written += this.evaluateBlock(node.body, scope).value;
          goneThrough = true;
        } catch (error) {
          if (!(error instanceof Break || error instanceof Continue)) throw error;
          written += error.written;
          if (error instanceof Break) break;
        }
      }
      // Jinja takes a loop for empty of which no iteration came to its end.
      return goneThrough ? text(written) : text(written + this.evaluateBlock(node.defaultBlock, environment).value);
    },
    evaluateSet(node, environment) {
      if (node.assignee.type === 'FilterExpression') return unsupported('a block of set with a filter');
      if (node.assignee.type !== 'TupleLiteral') return evaluateSet.call(this, node, environment);
      bind(node.assignee, this.evaluate(node.value, environment), environment);
      return new Null();
    },
    evaluateMacro(node, environment) {
      evaluateMacro.call(this, node, environment);
      const call = environment.variables.get(node.name.value);
      // It sees the names of where it stands, not of where it is called.
      const macro = new Fn((args, from) => {
        const scope = new Environment(environment);
        const caller = from && from.variables.get('caller');
        if (caller !== undefined) scope.setVariable('caller', caller);
        return call.value(args, scope);
      });
      environment.setVariable(node.name.value, macro);
      return new Null();
    },
    evaluateBinaryExpression(node, environment) {
      const left = this.evaluate(node.left, environment);
      const operator = node.operator.value;
      if (operator === 'and') return isTrue(left) ? this.evaluate(node.right, environment) : left;
      if (operator === 'or') return isTrue(left) ? left : this.evaluate(node.right, environment);
      return operate(operator, left, this.evaluate(node.right, environment));
    },
    evaluateTestExpression(node, environment) {
      const holds = testOf(node.test.value)(this.evaluate(node.operand, environment));
      return new Bool(holds !== node.negate);
    },
    applyFilter(operand, node, environment) {
      return node.type === 'Identifier'
        ? filtered(this, node.value, operand, [], environment)
        : filtered(this, node.callee.value, operand, node.args, environment);
    },
    evaluate(node, environment) {
      if (node !== undefined && node.type === 'ObjectLiteral') {
        const entries = [...node.value].map(([key, value]) => [this.evaluate(key, environment), this.evaluate(value, environment)]);
        if (!entries.every(([key]) => isText(key))) unsupported('a dict with a key that is no text');
        return new Dict(new Map(entries.map(([key, value]) => [key.value, value])));
      }
      return evaluate.call(this, node, environment);
    },
    evaluateCallExpression(node, environment) {
      const called = this.evaluate(node.callee, environment);
      if (!(called instanceof Fn)) fail('calls ' + described(node.callee) + ', which is no function here');
      const [args, named] = this.evaluateArguments(node.args, environment);
      if (named.size > 0) args.push(new Keywords(named));
      return called.value(args, environment);
    },
    evaluateMemberExpression(node, environment) {
      const object = this.evaluate(node.object, environment);
      if (isUndef(object)) fail(described(node.object) + ' is undefined');
      if (node.computed && node.property.type === 'SliceExpression') {
        const part = evaluateSliceExpression.call(this, object, node.property, environment);
        return object instanceof Tuple ? new Tuple(part.value) : part;
      }
      const property = node.computed || node.property.type === 'IntegerLiteral'
        ? this.evaluate(node.property, environment)
        : text(node.property.value);
      if (isText(property)) return member(object, property.value, node.computed);
      return property instanceof Int ? at(object, property) : new Undef();
    },
  });
  const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'];
  const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
  function strftimeNow(format) {
    const now = new Date();
    const two = (x) => String(x).padStart(2, '0');
    const parts = { Y: now.getFullYear(), y: two(now.getFullYear() % 100), m: two(now.getMonth() + 1), d: two(now.getDate()),
      H: two(now.getHours()), I: two(now.getHours() % 12 || 12), M: two(now.getMinutes()), S: two(now.getSeconds()),
      p: now.getHours() < 12 ? 'AM' : 'PM', B: MONTHS[now.getMonth()], b: MONTHS[now.getMonth()].slice(0, 3),
      A: DAYS[now.getDay()], a: DAYS[now.getDay()].slice(0, 3), '%': '%' };
    return format.replace(/%(.?)/gs, (whole, mark) => (own(parts, mark) ? parts[mark] : unsupported('strftime_now with ' + whole)));
  }
  function rangeOf(args) {
    const numbers = args.map((x) => (x instanceof Int ? x.value : fail('range() of ' + kind(x))));
    const [start, stop, step = 1] = numbers.length === 1 ? [0, numbers[0]] : numbers;
    if (stop === undefined || numbers.length > 3) fail('range() takes one to three numbers');
    if (step === 0) fail('range() step must not be zero');
    const count = Math.max(0, Math.ceil((stop - start) / step));
    if (count > longestRange) limited('asks range() for ' + count + ' numbers, at most ' + longestRange + ' are given');
    const printed = () => 'range(' + start + ', ' + stop + (step === 1 ? ')' : ', ' + step + ')');
    return Object.assign(list(Array.from({ length: count }, (_, i) => new Int(start + i * step))), { printed });
  }
  const { set } = Environment.prototype;
  Environment.prototype.set = function (name, value) {
    if (typeof value !== 'function') return set.call(this, name, value);
    if (name === 'range') return this.setVariable(name, new Fn(rangeOf));
    if (name === 'strftime_now') return this.setVariable(name, new Fn(([format]) => text(strftimeNow(textOf(format, 'strftime_now()')))));
    return set.call(this, name, value);
  };
}

/** What the library's parser does not take, and a comparison that it takes for another one. */
const UNSUPPORTED = [
  [/{%-?\s*raw\b/, 'the tag raw'],
  [/{%-?\s*with\b/, 'the tag with'],
  [/{%\+|\+%}/, 'the plus sign of a tag'],
  [/{%-?\s*for\b[^%]*\brecursive\s*-?%}/, 'a recursive loop'],
  [/\bis\s+(not\s+)?\w+\s*(\(|\d|'|")/, 'a test with arguments'],
  [/\d[eE][+-]?\d|\d_\d/, 'a number written with an exponent or underscores'],
  [/,\s*\)/, 'a comma before a closing parenthesis'],
];
function chains(tokens) {
  const seen = [false];
  for (const { type, value } of tokens) {
    if (/^(Open(Paren|SquareBracket|CurlyBracket|Statement|Expression))$/.test(type)) seen.push(false);
    else if (/^Close(Paren|SquareBracket|CurlyBracket|Statement|Expression)$/.test(type)) seen.pop();
    else if (type === 'ComparisonBinaryOperator') {
      if (seen.at(-1)) return true;
      seen[seen.length - 1] = true;
    } else if (type === 'Comma' || type === 'Colon' || type === 'Equals' || ['and', 'or', 'if', 'elif', 'else', 'not'].includes(value) && type !== 'StringLiteral' && type !== 'Text')
      seen[seen.length - 1] = false;
  }
  return false;
}
function parsed({ Template, tokenize }, source) {
  let template;
  try {
    template = new Template(source);
  } catch (error) {
    const found = UNSUPPORTED.find(([pattern]) => pattern.test(source));
    if (found === undefined) throw error;
    unsupported(found[1], ' (' + error.message + ')');
  }
  if (chains(tokenize(source, { lstrip_blocks: true, trim_blocks: true })))
    unsupported('a chain of comparisons, as in a < b < c,', ': write a < b and b < c');
  return template;
}
`;
