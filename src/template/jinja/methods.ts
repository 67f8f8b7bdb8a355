/**
 * Part of the program of python_semantics.ts: methods of Python's str, list and dict, and access to members.
 */
export const METHODS = String.raw`
  // --- methods ---

  const SPACE = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
  const AT_START = new RegExp('^' + SPACE + '+');
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
  /** Not a regular expression: one anchored at the end takes quadratic time on long runs of spaces within the text. */
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
  /** Index of the first occurrence of a text in another, in characters; -1 if there is none. */
  const indexIn = (string, part) => {
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
    find: (s, part) => whole(indexIn(s, part)),
    index: (s, part) => (indexIn(s, part) < 0 ? fail('index(): the text is not there') : whole(indexIn(s, part))),
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
  /** Arguments in positional order. Keyword arguments go where names has them. */
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
`;
