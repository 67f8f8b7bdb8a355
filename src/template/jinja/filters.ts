/**
 * Part of the program of python_semantics.ts: Jinja's filters and tests.
 */
export const FILTERS = String.raw`
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

  /** Filters by name: the names of their arguments (null if they take any number), and a function of the value and the arguments. */
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

  /** The test of select, reject, selectattr and rejectattr. */
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
`;
