/**
 * Codes and scales are those of ONNX Runtime's own quantiser, to the last bit, and stand for the numbers that its kernel takes
 * them for. quantised/make.py has made the values.
 */
import { expect, test } from 'vitest';
import {
  allocateQuantised,
  dequantise,
  QUANT_BLOCK,
  type QuantBits,
  quantise,
} from '../../src/checkpoint/quantised.ts';
import { largestDifference } from '../helpers/check_op.ts';
import values from './quantised/values.json' with { type: 'json' };

const bytesOf = (text: string): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.from(text, 'base64'));
const floatsOf = (text: string): Float32Array => new Float32Array(bytesOf(text).buffer);

/** The codes of a weight's own values, without those that fill the last block of a row. */
function codesOf(codes: Uint8Array, bits: number, [out, inner]: readonly [number, number]): number[] {
  const width = Math.ceil(inner / QUANT_BLOCK) * QUANT_BLOCK;
  return Array.from({ length: out * inner }, (_, at) => {
    const bit = (Math.floor(at / inner) * width + (at % inner)) * bits;
    return (codes[bit >> 3]! >> (bit % 8)) & (2 ** bits - 1);
  });
}

test.each(values.cases)('$bits bits, $name', ({ bits, dims, ...wanted }) => {
  const size = dims as [number, number];
  const source = floatsOf(wanted.weight);
  const weight = allocateQuantised(size, bits as QuantBits);
  quantise(source, weight);
  expect(largestDifference(weight.scales, floatsOf(wanted.scales))).toBe(0);
  expect(codesOf(weight.codes, bits, size)).toEqual(codesOf(bytesOf(wanted.codes), bits, size));
  const numbers = new Float32Array(source.length);
  dequantise(weight, numbers);
  expect(largestDifference(numbers, floatsOf(wanted.numbers))).toBe(0);
});
