/**
 * Symbolic shapes: a dimension is a number or a polynomial in named sizes ("S", "2*B*S", "P+L") in canonical spelling.
 * Knows arithmetic on dimensions, not the tensors that have them.
 */

export type Dim = number | string;
export type Shape = readonly Dim[];

/** The shape with every dimension in canonical spelling, which comparisons rely on: "L*G" becomes "G*L". */
export function canonicalShape(shape: Shape): Shape {
  return shape.map((dim) => addDims(dim));
}

/** Sum of dimensions. */
export function addDims(...dims: Dim[]): Dim {
  return print(dims.map(parse).reduce(addPolynomials, new Map()));
}

/** Difference of two dimensions. */
export function subDims(a: Dim, b: Dim): Dim {
  const negated: Polynomial = new Map([...parse(b)].map(([monomial, factor]) => [monomial, -factor]));
  return print(addPolynomials(parse(a), negated));
}

/** Product of dimensions; 1 for none. */
export function mulDims(...dims: Dim[]): Dim {
  return print(dims.map(parse).reduce(mulPolynomials, new Map([['', 1]])));
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

/**
 * Shape of an elementwise result by numpy's rules. Only a literal 1 broadcasts; unequal symbolic sizes never do.
 *
 * @throws if two dimensions differ and neither is 1
 */
export function broadcastShapes(a: Shape, b: Shape, what: string): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i): Dim => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x === y || y === 1) return x;
    if (x === 1) return y;
    throw new Error(`${what}: shapes ${showShape(a)} and ${showShape(b)} do not broadcast (${x} against ${y})`);
  });
}

/** An axis as an index from 0; a negative axis counts from the end. */
export function normaliseAxis(axis: number, rank: number, what: string): number {
  const index = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(index) || index < 0 || index >= rank) {
    throw new Error(`${what}: axis ${axis} is out of range for rank ${rank}`);
  }
  return index;
}

export function showShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

/** A dimension as a sum of products, each a factor times named sizes: the form in which it is computed at run time. */
export function termsOf(dim: Dim): { factor: number; names: string[] }[] {
  return [...parse(dim)].map(([monomial, factor]) => ({ factor, names: monomial === '' ? [] : monomial.split('*') }));
}

// --- internal ---

/** From monomial (sorted names joined by *; '' is the constant term) to its coefficient. */
type Polynomial = ReadonlyMap<string, number>;

function parse(dim: Dim): Polynomial {
  if (typeof dim === 'number') return new Map(dim === 0 ? [] : [['', dim]]);
  const terms = new Map<string, number>();
  for (const term of dim.replaceAll('-', '+-').split('+')) {
    if (term === '') continue;
    let factor = term.startsWith('-') ? -1 : 1;
    const names: string[] = [];
    for (const part of term.replace(/^-/, '').split('*')) {
      if (/^\d+$/.test(part)) factor *= Number(part);
      else names.push(part);
    }
    const monomial = names.sort().join('*');
    terms.set(monomial, (terms.get(monomial) ?? 0) + factor);
  }
  return terms;
}

function print(polynomial: Polynomial): Dim {
  const terms = [...polynomial].filter(([, factor]) => factor !== 0).sort(([a], [b]) => (a < b ? -1 : 1));
  if (terms.length === 0) return 0;
  if (terms.length === 1 && terms[0]![0] === '') return terms[0]![1];
  return terms
    .map(([monomial, factor]) => {
      if (monomial === '') return String(factor);
      if (factor === 1) return monomial;
      return factor === -1 ? `-${monomial}` : `${factor}*${monomial}`;
    })
    .join('+')
    .replaceAll('+-', '-');
}

function addPolynomials(a: Polynomial, b: Polynomial): Polynomial {
  const sum = new Map(a);
  for (const [monomial, factor] of b) sum.set(monomial, (sum.get(monomial) ?? 0) + factor);
  return sum;
}

function mulPolynomials(a: Polynomial, b: Polynomial): Polynomial {
  const product = new Map<string, number>();
  for (const [left, x] of a) {
    for (const [right, y] of b) {
      const monomial = [...left.split('*'), ...right.split('*')].filter(Boolean).sort().join('*');
      product.set(monomial, (product.get(monomial) ?? 0) + x * y);
    }
  }
  return product;
}
