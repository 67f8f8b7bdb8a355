import { describe, expect, test } from 'vitest';
import { allocateWords, firstNonFinite, narrow, type WeightDtype, widen } from '../../src/checkpoint/dtypes.ts';
import { createRandom } from '../../src/util/random.ts';

/** The value of a 16-bit float by its definition: sign, exponent and mantissa bits. */
function valueByDefinition(bits: number, exponentBits: number): number {
  const mantissaBits = 15 - exponentBits;
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >>> mantissaBits;
  const mantissa = bits & ((1 << mantissaBits) - 1);
  const bias = (1 << (exponentBits - 1)) - 1;
  if (exponent === (1 << exponentBits) - 1) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias - mantissaBits);
  return sign * (1 + mantissa / (1 << mantissaBits)) * 2 ** (exponent - bias);
}

const formats: readonly { dtype: WeightDtype; exponentBits: number }[] = [
  { dtype: 'F16', exponentBits: 5 },
  { dtype: 'BF16', exponentBits: 8 },
];
const all = Uint16Array.from({ length: 65536 }, (_, i) => i);

const widened = (dtype: WeightDtype, words: Uint16Array): Float32Array => {
  const floats = new Float32Array(words.length);
  widen(dtype, words, floats);
  return floats;
};
const narrowed = (dtype: WeightDtype, floats: Float32Array): Uint16Array | Uint32Array => {
  const words = allocateWords(dtype, floats.length);
  narrow(dtype, floats, words);
  return words;
};

describe.each(formats)('$dtype', ({ dtype, exponentBits }) => {
  test('all 65,536 values widen to what their bits mean', () => {
    const floats = widened(dtype, all);
    const wrong = [...all].filter((bits) => !Object.is(floats[bits], valueByDefinition(bits, exponentBits)));
    expect(wrong).toEqual([]);
  });

  test('all 65,536 values survive widening and narrowing bit by bit; NaN stays NaN', () => {
    const back = narrowed(dtype, widened(dtype, all));
    const quiet = 1 << (14 - exponentBits);
    const wrong = [...all].filter((bits) => {
      const expected = Number.isNaN(valueByDefinition(bits, exponentBits)) ? bits | quiet : bits;
      return (
        (back[bits]! | quiet) !== (expected | quiet) ||
        (!Number.isNaN(valueByDefinition(bits, exponentBits)) && back[bits] !== bits)
      );
    });
    expect(wrong).toEqual([]);
  });

  test('between every two neighbours: below the middle rounds down, above up, the middle to even', () => {
    const positive = [...all.subarray(0, 32767)].filter((bits) =>
      Number.isFinite(valueByDefinition(bits + 1, exponentBits)),
    );
    const below = new Float32Array(positive.length);
    const middle = new Float32Array(positive.length);
    const above = new Float32Array(positive.length);
    for (const [i, bits] of positive.entries()) {
      const low = valueByDefinition(bits, exponentBits);
      const high = valueByDefinition(bits + 1, exponentBits);
      middle[i] = low + (high - low) / 2;
      below[i] = low + (high - low) * 0.4999;
      above[i] = low + (high - low) * 0.5001;
    }
    // Around the smallest bfloat16 values float32 itself is too coarse for thirds of a step: skip what it moved to the middle.
    const exact = (i: number, value: number): boolean => value !== middle[i]!;
    const wrong = { below: 0, middle: 0, above: 0 };
    const [b, m, a] = [narrowed(dtype, below), narrowed(dtype, middle), narrowed(dtype, above)];
    for (const [i, bits] of positive.entries()) {
      if (exact(i, below[i]!) && b[i] !== bits) wrong.below++;
      if (m[i] !== (bits % 2 === 0 ? bits : bits + 1)) wrong.middle++;
      if (exact(i, above[i]!) && a[i] !== bits + 1) wrong.above++;
    }
    expect(wrong).toEqual({ below: 0, middle: 0, above: 0 });
  });

  test('a million random floats of every exponent go to the nearest value', () => {
    const random = createRandom(3);
    const bits = Uint32Array.from({ length: 1_000_000 }, () => random.next() * 2 ** 32);
    const floats = new Float32Array(bits.buffer);
    const words = narrowed(dtype, floats);
    const largest = valueByDefinition((dtype === 'F16' ? 0x7c00 : 0x7f80) - 1, exponentBits);
    let wrong = 0;
    for (let i = 0; i < floats.length; i++) {
      const x = floats[i]!;
      const got = valueByDefinition(words[i]!, exponentBits);
      if (Number.isNaN(x)) wrong += Number.isNaN(got) ? 0 : 1;
      else if (Number.isFinite(got)) {
        const away = words[i]! < 0x8000 ? words[i]! + 1 : words[i]! - 1;
        const neighbours = [words[i]! - 1, words[i]! + 1, away].filter((w) => w >= 0 && w <= 0xffff);
        const error = Math.abs(got - x);
        if (neighbours.some((w) => Math.abs(valueByDefinition(w, exponentBits) - x) < error)) wrong++;
      } else if (Math.abs(x) < largest) wrong++;
    }
    expect(wrong).toBe(0);
  });

  test('past the largest value comes infinity', () => {
    const top = valueByDefinition(dtype === 'F16' ? 0x7bff : 0x7f7f, exponentBits);
    const halfStep = (top - valueByDefinition(dtype === 'F16' ? 0x7bfe : 0x7f7e, exponentBits)) / 2;
    const infinity = dtype === 'F16' ? 0x7c00 : 0x7f80;
    expect([...narrowed(dtype, Float32Array.of(top, top + halfStep * 0.99, top + halfStep))]).toEqual([
      infinity - 1,
      infinity - 1,
      infinity,
    ]);
  });
});

test('float32 passes through bit by bit', () => {
  const random = createRandom(1);
  const bits = Uint32Array.from({ length: 1000 }, () => random.next() * 2 ** 32);
  const floats = new Float32Array(bits.length);
  widen('F32', bits, floats);
  const back = new Uint32Array(bits.length);
  narrow('F32', floats, back);
  expect(back).toEqual(bits);
});

test('the first value that is not finite is found', () => {
  for (const dtype of ['F32', 'F16', 'BF16'] as const) {
    const at = (values: number[]): number => firstNonFinite(dtype, narrowed(dtype, Float32Array.from(values)));
    expect(at([1, -2, 0, 60000])).toBe(-1);
    expect(at([1, Number.NaN, Number.POSITIVE_INFINITY])).toBe(1);
    expect(at([1, 2, Number.NEGATIVE_INFINITY])).toBe(2);
  }
  expect(firstNonFinite('F16', narrowed('F16', Float32Array.of(1, 1e5)))).toBe(1);
});

test('what is not finite is found in arrays of every length, at every place, wherever they begin', () => {
  for (const dtype of ['F32', 'F16', 'BF16'] as const) {
    const largest = narrowed(dtype, Float32Array.of(dtype === 'F16' ? -65504 : -3.3e38))[0]!;
    const infinite = narrowed(dtype, Float32Array.of(Number.POSITIVE_INFINITY))[0]!;
    const room = allocateWords(dtype, 16);
    for (let begin = 0; begin < 3; begin++) {
      for (let length = 0; length < 12; length++) {
        const words = room.subarray(begin, begin + length);
        for (let at = -1; at < length; at++) {
          room.fill(infinite); // around it, which must not count
          words.fill(largest);
          if (at >= 0) words[at] = infinite;
          expect(firstNonFinite(dtype, words)).toBe(at);
        }
      }
    }
  }
});

test('lengths that differ are our bug', () => {
  expect(() => widen('BF16', new Uint16Array(2), new Float32Array(3))).toThrow(/^internal:/);
  expect(() => narrow('BF16', new Float32Array(3), new Uint16Array(2))).toThrow(/^internal:/);
});
