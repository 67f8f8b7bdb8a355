/**
 * Parses an answer in the plain LaTeX of `normalizeMath` into a tree, keeping every digit. Recursive descent with one function
 * per level of precedence: list, relation, ratio, union, sum, product, power. Knows notation, not values.
 */
import Fraction from 'fraction.js';
import {
  type BracketNode,
  call,
  type FunctionName,
  functionNames,
  type ListNode,
  type Node,
  type NumberNode,
  type Operation,
  type RelationSign,
} from './tree.ts';

/** The tree, or null if the text is not understood completely. */
export function parseMath(text: string): Node | null {
  if (text.length > longest) return null;
  try {
    return read(text);
  } catch (error) {
    if (error instanceof NotMath) return null;
    throw error;
  }
}

// --- internal ---

/** Limits on length in characters and on nesting; a hostile answer could overflow the stack. */
const longest = 4000;
const deepest = 120;

/** Thrown where the text does not follow the notation. */
class NotMath extends Error {}

const relationSigns: readonly (readonly [RegExp, RelationSign])[] = [
  [/\\leqslant(?![a-zA-Z])|\\leq(?![a-zA-Z])|\\le(?![a-zA-Z])|<=/y, '<='],
  [/\\geqslant(?![a-zA-Z])|\\geq(?![a-zA-Z])|\\ge(?![a-zA-Z])|>=/y, '>='],
  [/\\neq(?![a-zA-Z])|\\ne(?![a-zA-Z])|\\not\s*=|!=/y, '!='],
  [/\\lt(?![a-zA-Z])|</y, '<'],
  [/\\gt(?![a-zA-Z])|>/y, '>'],
  [/\\notin(?![a-zA-Z])|\\not\s*\\in(?![a-zA-Z])/y, 'notin'],
  [/\\in(?![a-zA-Z])/y, 'in'],
  [/\\approx(?![a-zA-Z])|\\equiv(?![a-zA-Z])|==?/y, '='],
];

const constants: Record<string, string> = {
  ...{ '\\pi': 'pi', '\\infty': 'infinity', '\\emptyset': 'empty', '\\varnothing': 'empty' },
  ...{ '\\imath': 'i', e: 'e', i: 'i' },
};

const numberSets: Record<string, string> = { R: 'reals', Z: 'integers', N: 'naturals', Q: 'rationals', C: 'complexes' };

const greek = new Set(
  'alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar'.split(
    ' ',
  ),
);

const functionOf: Record<string, FunctionName> = {
  ...Object.fromEntries(functionNames.map((name) => [name, name])),
  ...{ asin: 'arcsin', acos: 'arccos', atan: 'arctan', tg: 'tan', ctg: 'cot', arctg: 'arctan', cosec: 'csc' },
};

const inverses: Partial<Record<FunctionName, FunctionName>> = {
  ...{ sin: 'arcsin', cos: 'arccos', tan: 'arctan', cot: 'arccot' },
};

function read(text: string): Node {
  let at = 0;
  let depth = 0;
  /** A bar closes inside `|...|`. In the head of `\{x | ...\}` it separates, and so does a colon. */
  let barCloses = false;
  let colonEnds = false;

  const fail = (): never => {
    throw new NotMath();
  };
  const blanks = () => {
    while (text[at] === ' ') at++;
  };
  /** Matches the pattern at the cursor and moves the cursor behind the match. */
  const take = (pattern: RegExp): RegExpExecArray | null => {
    blanks();
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match) at += match[0].length;
    return match;
  };
  const peek = (pattern: RegExp): boolean => {
    blanks();
    pattern.lastIndex = at;
    return pattern.test(text);
  };
  const expect = (pattern: RegExp): RegExpExecArray => take(pattern) ?? fail();
  const inside = <T>(bars: boolean, colons: boolean, body: () => T): T => {
    const before = [barCloses, colonEnds] as const;
    if (++depth > deepest) fail();
    [barCloses, colonEnds] = [bars, colons];
    const result = body();
    [barCloses, colonEnds] = before;
    depth--;
    return result;
  };
  const plainly = <T>(body: () => T): T => inside(false, false, body);

  const whole = plainly(list);
  blanks();
  return at === text.length ? whole : fail();

  function list(): Node {
    const items = [relation()];
    let joint: ListNode['joint'] = ',';
    for (;;) {
      const between = take(/[,;]?\s*\\(or|and|lor|land|vee|wedge)(?![a-zA-Z])|[,;]/y);
      if (!between) break;
      if (between[1]) joint = between[1] === 'or' || between[1] === 'lor' || between[1] === 'vee' ? 'or' : 'and';
      items.push(relation());
    }
    return items.length === 1 ? items[0]! : { op: 'list', joint, args: items };
  }

  function relation(): Node {
    const operands = [ratio()];
    const signs: RelationSign[] = [];
    for (;;) {
      const found = relationSigns.find(([pattern]) => take(pattern));
      if (!found) break;
      signs.push(found[1]);
      operands.push(ratio());
    }
    return signs.length === 0 ? operands[0]! : { op: 'relation', signs, args: operands };
  }

  function ratio(): Node {
    const terms = [sets()];
    while (!colonEnds && take(/:(?!=)|\\colon(?![a-zA-Z])/y)) terms.push(sets());
    const whole = terms.length === 1 ? terms[0]! : call('ratio', ...terms);
    const unit = take(/\\unit\{([^{}]*)\}/y);
    return unit ? { op: 'unit', unit: unit[1]!, args: [whole] } : whole;
  }

  function sets(): Node {
    let left = sum();
    for (;;) {
      const sign = take(/\\(cup|cap|setminus|backslash)(?![a-zA-Z])/y);
      if (!sign) return left;
      const op = sign[1] === 'cup' ? 'union' : sign[1] === 'cap' ? 'intersection' : 'without';
      left = call(op, left, sum());
    }
  }

  function sum(): Node {
    const terms = [product()];
    for (;;) {
      const sign = take(/\+\s*-|\+\/-|[+-]|\\pm(?![a-zA-Z])|\\mp(?![a-zA-Z])/y)?.[0];
      if (sign === undefined) break;
      const term = product();
      if (sign === '+') terms.push(term);
      else if (sign === '-' || (sign.startsWith('+') && sign.endsWith('-') && !sign.includes('/')))
        terms.push(call('negate', term));
      else terms.push(call(sign === '\\mp' ? 'minus-plus' : 'plus-minus', term));
    }
    return terms.length === 1 ? terms[0]! : call('add', ...terms);
  }

  /** A product or quotient. Juxtaposition binds tighter than a slash, so that 1/2x is 1/(2x). */
  function product(): Node {
    let left = signed();
    for (;;) {
      const sign = take(/\\cdot(?![a-zA-Z])|\\times(?![a-zA-Z])|\\div(?![a-zA-Z])|\\bmod(?![a-zA-Z])|[*/]/y)?.[0];
      if (sign === undefined) return left;
      const right = signed();
      if (sign === '/' || sign === '\\div') left = call('divide', left, right);
      else if (sign === '\\bmod') left = call('mod', left, right);
      else left = left.op === 'multiply' ? call('multiply', ...left.args, right) : call('multiply', left, right);
    }
  }

  function signed(): Node {
    const sign = take(/\+\/-|[+-]|\\pm(?![a-zA-Z])|\\mp(?![a-zA-Z])/y)?.[0];
    if (sign === undefined) return factors();
    if (++depth > deepest) fail();
    const value = signed();
    depth--;
    if (sign === '+') return value;
    if (sign === '-') return call('negate', value);
    return call(sign === '\\mp' ? 'minus-plus' : 'plus-minus', value);
  }

  /** Juxtaposed factors. */
  function factors(): Node {
    const items = [postfix()];
    while (startsFactor()) {
      if (peek(/[\d.]/y) && !/[!)}|]\s*$/.test(text.slice(0, at))) fail(); // `3 4`, `x 2`: not a way to write a product
      items.push(postfix());
    }
    return items.length === 1 ? items[0]! : call('multiply', ...items);
  }

  function startsFactor(): boolean {
    if (peek(/\\(?:unit|cup|cap|setminus|backslash|cdot|times|div|bmod|pm|mp|or|and|lor|land|vee|wedge)(?![a-zA-Z])/y))
      return false;
    if (relationSigns.some(([pattern]) => peek(pattern))) return false;
    if (peek(/\\(?:[}\\%]|right|rfloor|rceil|rangle|end|mid|colon|choose)(?![a-zA-Z])|\\[}\\]/y)) return false;
    if (peek(/\|/y)) return !barCloses;
    return peek(/[a-zA-Z\d.({\\]/y);
  }

  function postfix(): Node {
    let node = primary();
    for (;;) {
      if (take(/!!/y)) node = call('double-factorial', node);
      else if (peek(/!(?!=)/y)) {
        at++;
        node = call('factorial', node);
      } else if (take(/\^\s*\\circ(?![a-zA-Z])/y)) node = call('degrees', node);
      else if (take(/\\%/y)) node = call('percent', node);
      else if (peek(/\^/y)) {
        at++;
        node = call('power', node, exponent());
      } else return node;
    }
  }

  function exponent(): Node {
    if (take(/-/y)) return call('negate', exponent());
    if (peek(/\{/y)) return group();
    const base = primary(true); // 2^{3^2} without its braces
    if (!peek(/\^(?!\s*\\circ)/y)) return base;
    at++;
    if (++depth > deepest) fail();
    const power = call('power', base, exponent());
    depth--;
    return power;
  }

  /** `{...}`, or, as in LaTeX, the next single digit, letter or command. */
  function group(): Node {
    if (!take(/\{/y)) return single();
    const node = plainly(list);
    if (take(/\\choose(?![a-zA-Z])/y)) {
      const lower = plainly(list);
      expect(/\}/y);
      return call('binomial', node, lower);
    }
    expect(/\}/y);
    return node;
  }

  function single(): Node {
    const digit = take(/\d/y);
    return digit ? { op: 'number', value: new Fraction(digit[0]) } : primary();
  }

  function primary(asExponent = false): Node {
    if (++depth > deepest) fail();
    const node = unlimited(asExponent);
    depth--;
    return node;
  }

  function unlimited(asExponent: boolean): Node {
    if (peek(/[\d.]/y)) return asExponent ? integerOrNumber() : number();
    if (peek(/\{/y)) return group();
    if (peek(/[([]/y)) return brackets();
    if (take(/\|/y)) {
      const body = inside(true, false, sum);
      expect(/\|/y);
      return call('abs', body);
    }
    const letter = take(/[a-zA-Z]/y);
    if (letter) return named(letter[0]);
    if (take(/\\\{/y)) return set();
    const command = take(/\\([a-zA-Z]+)/y);
    return command ? commanded(command[1]!) : fail();
  }

  /** A letter with its index and primes; `f(x)` is one unknown as a whole. */
  function named(letter: string): Node {
    let name = letter;
    const index = take(/_\s*(?:\{([\w\s,+-]+)\}|(\w)|(\\[a-zA-Z]+))/y);
    if (index) name += `_${(index[1] ?? index[2] ?? index[3]!).replaceAll(' ', '')}`;
    while (take(/'|\^\s*\\prime(?![a-zA-Z])|\^\s*\{\\prime\}/y)) name += "'";
    if (/^[fgh](?:_|'|$)/.test(name)) {
      const argument = take(/\(([^()]*)\)/y);
      if (argument) return { op: 'symbol', name: `${name}(${argument[1]!.replaceAll(' ', '')})` };
    }
    return Object.hasOwn(constants, name) ? { op: 'constant', name: constants[name]! } : { op: 'symbol', name };
  }

  function integerOrNumber(): NumberNode {
    const plain = take(/\d+(?!\.\d)/y);
    return plain ? numberOf(plain[0]) : (number() as NumberNode);
  }

  /** `12`, `0.5`, `0.1\overline{6}`, `1.5e-3`, `0.333...`, and mixed numbers: `1\frac{1}{2}`, `1 1/2`. */
  function number(): Node {
    const digits = expect(/\d*\.\d+|\d+\.?/y)[0];
    const repeated = digits.includes('.')
      ? (take(/\\(?:overline|bar)\s*\{?\s*(\d+)\s*\}?/y)?.[1] ?? take(/\\dot\s*\{?\s*(\d)\s*\}?/y)?.[1])
      : undefined;
    if (repeated !== undefined) return { op: 'number', value: repeating(digits, repeated) };
    if (/\.\d+$/.test(digits) && take(/\\[lc]?dots(?![a-zA-Z])|\.\.\./y)) {
      const block = /(\d)\1{2,}$/.exec(digits)?.[1] ?? /(\d{2,6})\1+$/.exec(digits)?.[1] ?? fail();
      return { op: 'number', value: repeating(digits, block) };
    }
    const apart = text[at] === ' ';
    const scale = apart ? null : take(/[eE]([-+]?\d{1,15})(?![\d.a-zA-Z])/y);
    if (scale) {
      const exponent: Node = { op: 'number', value: new Fraction(BigInt(scale[1]!.replace('+', '')), 1n) };
      return call('multiply', numberOf(digits), call('power', ten, exponent));
    }
    if (digits.includes('.')) return numberOf(digits);
    const before = at;
    const fraction =
      take(/\\frac\s*(?:\{\s*(\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))(?!\s*\^)/y) ??
      (apart ? take(/(\d+)()\s*\/\s*(\d+)()(?![\d.])/y) : null); // 1 1/2
    if (fraction) {
      const [over, under] = [BigInt(fraction[1] ?? fraction[2]!), BigInt(fraction[3] ?? fraction[4]!)];
      if (over < under) return { op: 'number', value: new Fraction(BigInt(digits), 1n).add(new Fraction(over, under)) };
      at = before; // an improper fraction after a number is a factor
    }
    return numberOf(digits);
  }

  /** Parentheses around a single item are grouping; otherwise a point, an interval or a vector. */
  function brackets(): Node {
    const open = expect(/[([]/y)[0] as '(' | '[';
    const items = plainly(list);
    const close = expect(/[)\]]/y)[0] as ')' | ']';
    if (items.op === 'list') return { op: 'bracket', open, close, args: items.args };
    if ((open === '(') !== (close === ')')) fail();
    return items.op === 'relation' && items.args.length > 2 ? fail() : items;
  }

  function set(): Node {
    if (take(/\\\}/y)) return { op: 'constant', name: 'empty' };
    const head = inside(true, true, list);
    if (take(/\||:|\\mid(?![a-zA-Z])|\\colon(?![a-zA-Z])/y)) {
      const condition = plainly(list);
      expect(/\\\}/y);
      return call('such-that', head, condition);
    }
    expect(/\\\}/y);
    return call('set', ...(head.op === 'list' ? head.args : [head]));
  }

  function commanded(name: string): Node {
    if (Object.hasOwn(constants, `\\${name}`)) return { op: 'constant', name: constants[`\\${name}`]! };
    if (greek.has(name)) return named(`\\${name}`);
    switch (name) {
      case 'frac':
        return call('divide', group(), group());
      case 'sqrt': {
        if (!take(/\[/y)) return call('root', group(), two);
        const order = plainly(sum);
        expect(/\]/y);
        return call('root', group(), order);
      }
      case 'binom':
        return call('binomial', group(), group());
      case 'mathbb':
      case 'Bbb': {
        const letter = expect(/\{\s*([A-Z])\s*\}|([A-Z])/y);
        const found = numberSets[(letter[1] ?? letter[2])!] ?? fail();
        const sign = found === 'reals' ? take(/(?:\^|_)\s*\{?\s*([+-])\s*\}?/y) : null;
        if (!sign) return { op: 'constant', name: found };
        return { op: 'constant', name: sign[1] === '+' ? 'positives' : 'negatives' };
      }
      case 'lfloor':
        return enclosed('floor', /\\rfloor(?![a-zA-Z])/y);
      case 'lceil':
        return enclosed('ceil', /\\rceil(?![a-zA-Z])/y);
      case 'lvert':
        return enclosed('abs', /\\rvert(?![a-zA-Z])/y);
      case 'langle': {
        const items = plainly(list);
        expect(/\\rangle(?![a-zA-Z])/y);
        const args = items.op === 'list' ? items.args : [items];
        return { op: 'bracket', open: '<', close: '>', args } satisfies BracketNode;
      }
      case 'begin':
        return matrix();
      case 'sum':
        return series('sum');
      case 'prod':
        return series('product');
      case 'log':
      case 'lg':
      case 'lb':
        return logarithm(name === 'lb' ? two : ten);
      case 'vec':
      case 'mathbf':
      case 'boldsymbol':
      case 'hat':
      case 'bar':
      case 'overline':
      case 'overrightarrow': {
        const body = expect(/\{\s*(\\?[a-zA-Z]+)\s*\}|([a-zA-Z])/y);
        const [inner] = [body[1] ?? body[2]!];
        if ((name === 'bar' || name === 'overline') && inner.length === 1) return call('conjugate', named(inner));
        return { op: 'symbol', name: `\\${name}{${inner}}` };
      }
      default:
        return Object.hasOwn(functionOf, name) ? applied(functionOf[name]!) : fail();
    }
  }

  function enclosed(op: Operation, close: RegExp): Node {
    const body = plainly(sum);
    expect(close);
    return call(op, body);
  }

  function matrix(): Node {
    const kind = expect(/\{(pmatrix|bmatrix|matrix|vmatrix|Bmatrix|smallmatrix|array)\}/y)[1]!;
    if (kind === 'vmatrix') fail(); // a determinant
    if (kind === 'array') take(/\{[lcr| ]*\}/y);
    const rows: Node[][] = [[]];
    const end = new RegExp(`\\\\end\\{${kind}\\}`, 'y');
    while (!take(end)) {
      if (take(/\\\\/y)) rows.push([]);
      else {
        if (rows.at(-1)!.length > 0) expect(/&/y);
        rows.at(-1)!.push(plainly(relation));
      }
    }
    if (rows.at(-1)!.length === 0) rows.pop();
    const columns = rows[0]?.length ?? 0;
    if (columns === 0 || rows.some((row) => row.length !== columns)) fail();
    return { op: 'matrix', columns, args: rows.flat() };
  }

  function series(op: 'sum' | 'product'): Node {
    expect(/_\s*\{/y);
    const index = expect(/[a-zA-Z]/y)[0];
    expect(/=/y);
    const from = plainly(sum);
    expect(/\}/y);
    expect(/\^/y);
    const to = group();
    return call(op, { op: 'symbol', name: index }, from, to, product());
  }

  function logarithm(usual: Node): Node {
    const base = take(/_/y) ? group() : usual;
    const power = take(/\^/y) ? group() : undefined;
    const value = call('log', argument(), base);
    return power ? call('power', value, power) : value;
  }

  function applied(name: FunctionName): Node {
    const power = take(/\^(?!\s*\\circ)/y) ? exponent() : undefined;
    if (['max', 'min', 'gcd', 'lcm'].includes(name)) {
      const open = take(/\(|\\\{/y)?.[0] ?? fail();
      const items = plainly(list);
      expect(open === '(' ? /\)/y : /\\\}/y);
      return call(name, ...(items.op === 'list' ? items.args : [items]));
    }
    if (power && power.op === 'negate' && isOne(power.args[0]!)) return call(inverses[name] ?? fail(), argument());
    const value = call(name, argument());
    return power ? call('power', value, power) : value;
  }

  /** The argument of a function without brackets, up to the next function or bracket: `2\pi x` in `\sin 2\pi x + 1`. */
  function argument(): Node {
    if (peek(/\(/y)) {
      const node = primary();
      return node.op === 'bracket' ? fail() : node;
    }
    if (take(/-/y)) return call('negate', argument());
    const items = [postfix()];
    while (startsFactor() && !peek(/[([]/y) && !startsFunction()) {
      if (peek(/[\d.]/y)) fail();
      items.push(postfix());
    }
    return items.length === 1 ? items[0]! : call('multiply', ...items);
  }

  function startsFunction(): boolean {
    blanks();
    const pattern = /\\([a-zA-Z]+)/y;
    pattern.lastIndex = at;
    const name = pattern.exec(text)?.[1];
    return name !== undefined && (Object.hasOwn(functionOf, name) || /^(?:log|lg|lb|sum|prod)$/.test(name));
  }
}

const two: NumberNode = { op: 'number', value: new Fraction(2) };
const ten: NumberNode = { op: 'number', value: new Fraction(10) };

function isOne(node: Node): boolean {
  return node.op === 'number' && node.value.equals(1);
}

function numberOf(digits: string): NumberNode {
  const [whole, part] = digits.split('.') as [string, string | undefined];
  if (part === undefined || part === '') return { op: 'number', value: new Fraction(BigInt(whole), 1n) };
  const all = whole + part;
  return {
    op: 'number',
    value: new Fraction(BigInt(all), 10n ** BigInt(part.length)),
    written: { significant: all.replace(/^0+/, '').length, decimals: part.length },
  };
}

/** A repeating decimal: `0.1` followed by repeated `6` is 1/6. */
function repeating(digits: string, block: string): Fraction {
  if (digits.length + block.length > 200) throw new NotMath();
  const decimals = digits.length - digits.indexOf('.') - 1;
  const start = new Fraction(BigInt(digits.replace('.', '')), 10n ** BigInt(decimals));
  return start.add(new Fraction(BigInt(block), (10n ** BigInt(block.length) - 1n) * 10n ** BigInt(decimals)));
}
