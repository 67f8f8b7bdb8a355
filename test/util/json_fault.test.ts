import fc from 'fast-check';
import { expect, test } from 'vitest';
import { jsonFaultAt, lineAndColumn } from '../../src/util/json_fault.ts';

test.each([
  ['', 0],
  ['  ', 2],
  ['{"a" 1}', 5],
  ['{"a":1,}', 7],
  ['[1,]', 3],
  ['[1 2]', 3],
  ['{a:1}', 1],
  ['{"a":1]', 6],
  ['[}', 1],
  ['{"a":tru}', 5],
  ['{"a":"b', 5],
  ['{"a":"\\x"}', 5],
  ['"a" "b"', 4],
  ['1,', 1],
  ['01', 1],
  ['{"a":{}', 7],
])('%j ends at %i', (text, position) => {
  expect(jsonFaultAt(text)).toBe(position);
});

test('all that JSON.parse takes is taken to its end, and nothing else is', () => {
  fc.assert(
    fc.property(fc.json(), fc.nat(), fc.constantFrom('', ',', '}', '"', 'x', ':', '\n', '1'), (json, place, put) => {
      const at = place % (json.length + 1);
      const text = json.slice(0, at) + put + json.slice(at + 1);
      let isJson = true;
      try {
        JSON.parse(text);
      } catch {
        isJson = false;
      }
      const fault = jsonFaultAt(text);
      if (isJson) expect(fault).toBe(text.length);
      // What comes before the fault can go on as JSON, so more of it than before cannot be at fault.
      else expect(jsonFaultAt(text.slice(0, fault))).toBe(fault);
    }),
    { numRuns: 3000 },
  );
});

test('a position as line and column', () => {
  expect(lineAndColumn('a\nbc\nd', 4)).toEqual({ line: 2, column: 3 });
  expect(lineAndColumn('a', 0)).toEqual({ line: 1, column: 1 });
});

test('long texts, strings and nestings', () => {
  expect(jsonFaultAt(`{"a":"${'x'.repeat(5_000_000)}"; }`)).toBe(5_000_007);
  expect(jsonFaultAt('['.repeat(1_000_000))).toBe(1_000_000);
});
