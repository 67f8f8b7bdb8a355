import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openSafetensors, writeSafetensors } from '../../src/checkpoint/safetensors.ts';
import { MAX_HEADER_BYTES, parseHeader } from '../../src/checkpoint/safetensors_header.ts';
import { SightlineError } from '../../src/errors.ts';
import { floatEntry, floatsFile, folderOf, refusal, safetensorsBytes, scratch, shown } from './scratch.ts';

function write(bytes: Uint8Array): string {
  return join(folderOf({ 'x.safetensors': bytes }), 'x.safetensors');
}

const entry = (fields: string): string => `{"t":{${fields}}}`;
const good = '"dtype":"F32","shape":[2],"data_offsets":[0,8]';

describe('hostile files', () => {
  const cases: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ['empty file', new Uint8Array(0), /0 bytes.*HeaderTooSmall/],
    ['seven bytes', new Uint8Array(7), /7 bytes.*HeaderTooSmall/],
    ['header longer than the file', safetensorsBytes('{}', 0, 3n), /header length is 3.*InvalidHeaderLength/],
    ['header above 100 MB', safetensorsBytes('{}', 0, BigInt(MAX_HEADER_BYTES) + 1n), /HeaderTooLarge/],
    ['header length 2^63', safetensorsBytes('{}', 0, 1n << 63n), /9223372036854775808.*HeaderTooLarge/],
    ['header length -1', safetensorsBytes('{}', 0, (1n << 64n) - 1n), /18446744073709551615.*HeaderTooLarge/],
    ['empty header', safetensorsBytes(''), /InvalidHeaderStart/],
    ['not UTF-8', safetensorsBytes(Uint8Array.of(0x7b, 0xff, 0x7d)), /InvalidHeader/],
    ['a byte order mark', safetensorsBytes('\ufeff{}'), /InvalidHeaderStart/],
    ['not JSON', safetensorsBytes('{hello'), /expected a string/],
    ['cut JSON', safetensorsBytes('{"t":{"dtype"'), /InvalidHeaderDeserialization/],
    ['an array', safetensorsBytes('[]'), /InvalidHeaderStart/],
    ['text after the object', safetensorsBytes('{} x'), /expected the end of the header/],
    ['a comma too many', safetensorsBytes(entry(`${good},`), 8), /expected a string/],
    ['a tensor twice', safetensorsBytes(`{"t":{${good}},"t":{${good}}}`, 8), /"t" occurs twice/],
    ['a tensor twice, once escaped', safetensorsBytes(`{"t":{${good}},"\\u0074":{${good}}}`, 8), /"t" occurs twice/],
    ['a field twice', safetensorsBytes(entry(`${good},"dtype":"F32"`), 8), /"t".*"dtype" occurs twice/],
    ['metadata twice', safetensorsBytes('{"__metadata__":{},"__metadata__":{}}'), /occurs twice/],
    ['metadata that is no text', safetensorsBytes('{"__metadata__":{"a":1}}'), /expected a string/],
    ['metadata that nests', safetensorsBytes('{"__metadata__":{"a":{}}}'), /expected a string/],
    ['unknown dtype', safetensorsBytes(entry(good.replace('F32', 'F31')), 8), /"t".*unknown dtype "F31"/],
    [
      'dtype from the prototype',
      safetensorsBytes(entry(good.replace('F32', 'toString')), 8),
      /unknown dtype "toString"/,
    ],
    ['dtype missing', safetensorsBytes(entry('"shape":[2],"data_offsets":[0,8]'), 8), /"t": dtype is missing/],
    ['shape missing', safetensorsBytes(entry('"dtype":"F32","data_offsets":[0,8]'), 8), /"t": shape is missing/],
    ['offsets missing', safetensorsBytes(entry('"dtype":"F32","shape":[2]'), 8), /data_offsets must be two/],
    ['three offsets', safetensorsBytes(entry(good.replace('[0,8]', '[0,8,8]')), 8), /data_offsets must be two/],
    ['unknown field', safetensorsBytes(entry(`${good},"x":[]`), 8), /unknown field "x"/],
    ['negative size', safetensorsBytes(entry(good.replace('[2]', '[-2]')), 8), /shape as whole numbers/],
    ['fractional size', safetensorsBytes(entry(good.replace('[2]', '[2.0]')), 8), /found "\.0/],
    ['exponent', safetensorsBytes(entry(good.replace('[2]', '[2e0]')), 8), /found "e0/],
    ['leading zero', safetensorsBytes(entry(good.replace('[2]', '[02]')), 8), /whole numbers/],
    [
      'size of 2^53',
      safetensorsBytes(entry(good.replace('[2]', '[9007199254740992]')), 8),
      /too large.*ValidationOverflow/,
    ],
    ['endless digits', safetensorsBytes(entry(good.replace('[2]', `[${'9'.repeat(5000)}]`)), 8), /ValidationOverflow/],
    [
      '65 dimensions',
      safetensorsBytes(entry(good.replace('[2]', `[${'1,'.repeat(64)}2]`)), 8),
      /shape has more than 64 entries/,
    ],
    [
      'product overflow',
      safetensorsBytes(entry(good.replace('[2]', '[4294967296,4294967296,0]')), 8),
      /ValidationOverflow/,
    ],
    ['half a byte', safetensorsBytes('{"t":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}', 1), /ValidationOverflow/],
    [
      'shape and offsets differ',
      safetensorsBytes(entry(good.replace('[2]', '[3]')), 8),
      /needs 12 bytes.*give 8.*TensorInvalidInfo/,
    ],
    ['end before begin', safetensorsBytes(entry(good.replace('[0,8]', '[0,-8]')), 8), /whole numbers/],
    ['offsets turned round', safetensorsBytes(entry(good.replace('[0,8]', '[8,0]')), 8), /InvalidOffset/],
    [
      'begins after a hole',
      safetensorsBytes(entry(good.replace('[0,8]', '[4,12]')), 12),
      /bytes 4 to 12.*start at 0.*InvalidOffset/,
    ],
    ['overlap', safetensorsBytes(`{${floatEntry('a', [2], 0)},${floatEntry('b', [2], 4)}}`, 12), /"b".*InvalidOffset/],
    [
      'hole between',
      safetensorsBytes(`{${floatEntry('a', [2], 0)},${floatEntry('b', [2], 12)}}`, 20),
      /"b".*InvalidOffset/,
    ],
    [
      'same bytes twice',
      safetensorsBytes(`{${floatEntry('a', [2], 0)},${floatEntry('b', [2], 0)}}`, 8),
      /InvalidOffset/,
    ],
    ['trailing bytes', safetensorsBytes(entry(good), 9), /longer than its header says.*MetadataIncompleteBuffer/],
    ['cut off', safetensorsBytes(entry(good), 7), /cut off.*MetadataIncompleteBuffer/],
    ['no tensors but data', safetensorsBytes('{}', 1), /longer than its header says/],
    ['raw control character', safetensorsBytes('{"a\nb":{}}'), /valid string/],
    ['unclosed string', safetensorsBytes('{"a\\"'), /closed string/],
  ];
  test.each(cases)('%s', async (_, bytes, expected) => {
    const path = write(bytes);
    const error = await refusal(() => openSafetensors(path));
    expect(error.code).toBe('E_SAFETENSORS_INVALID');
    expect(error.where).toBe(path);
    expect(shown(error)).toMatch(expected);
  });

  test('a folder, a missing file', async () => {
    const dir = scratch();
    expect((await refusal(() => openSafetensors(dir))).code).toBe('E_FILE_UNREADABLE');
    expect((await refusal(() => openSafetensors(join(dir, 'no')))).code).toBe('E_FILE_MISSING');
  });

  test('nesting of any depth is refused at its first bracket', async () => {
    const error = await refusal(() => openSafetensors(write(safetensorsBytes(`{"t":${'['.repeat(5_000_000)}`))));
    expect(shown(error)).toMatch(/expected '\{' at character 5/);
  });

  test('messages stay short whatever the names', async () => {
    const name = `${'x'.repeat(100_000)}\u001b[31m`;
    const error = await refusal(() => openSafetensors(write(safetensorsBytes(`{${floatEntry(name, [2], 4)}}`, 8))));
    expect(shown(error).length).toBeLessThan(1000);
    const coloured = await refusal(() =>
      openSafetensors(write(safetensorsBytes(`{${floatEntry('\u001b[31m', [2], 4)}}`, 8))),
    );
    expect(shown(coloured)).not.toContain('\u001b');
  });

  test('a key named __proto__ is a tensor like any other', () => {
    const file = openSafetensors(write(floatsFile({ __proto__x: [1], ['__proto__']: [2], constructor: [1] })));
    expect([...file.read('__proto__')]).toEqual([2, 3]);
    expect([...file.entries.keys()]).toEqual(['__proto__x', '__proto__', 'constructor']);
    expect(Object.keys(Object.prototype)).toEqual([]);
    file.close();
  });

  test('200,000 tensors open', () => {
    const count = 200_000;
    const header = Array.from({ length: count }, (_, i) => floatEntry(`tensor.${i}`, [1], 4 * i)).join(',');
    const file = openSafetensors(write(safetensorsBytes(`{${header}}`, 4 * count)));
    expect(file.entries.size).toBe(count);
    file.close();
  });

  test('a file cut off after it was opened', async () => {
    const path = write(floatsFile({ a: [100] }));
    const file = openSafetensors(path);
    writeFileSync(path, readFileSync(path).subarray(0, 200));
    expect(shown(await refusal(() => file.read('a')))).toMatch(/file ends at byte 200/);
    file.close();
  });
});

describe('mutated files', () => {
  const original = floatsFile({ a: [2, 3], 'b.c': [4], d: [] });

  /** The typed error, or a file whose entries fit it; anything else throws. */
  function parse(bytes: Uint8Array): 'refused' | 'read' {
    try {
      const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
      const header = parseHeader(bytes.subarray(8, 8 + length), bytes.length, 'x');
      for (const { begin, end } of header.entries.values()) {
        if (begin < 8 + length || end > bytes.length || begin > end) throw new Error(`entry ${begin}..${end} outside`);
      }
      return 'read';
    } catch (error) {
      if (error instanceof SightlineError && error.code === 'E_SAFETENSORS_INVALID') return 'refused';
      throw error;
    }
  }

  test('100,000 random mutations of the header are refused or read, never anything else', () => {
    expect(parse(original)).toBe('read');
    const headerEnd = 8 + Number(new DataView(original.buffer).getBigUint64(0, true));
    const seen = { refused: 0, read: 0 };
    const change = fc.tuple(fc.integer({ min: 8, max: headerEnd - 1 }), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const bytes = original.slice();
        for (const [at, value] of changes) bytes[at] = value;
        seen[parse(bytes)]++;
      }),
      { numRuns: 100_000, seed: 7 },
    );
    expect(seen.refused).toBeGreaterThan(1000);
    expect(seen.read).toBeGreaterThan(100);
  });

  test('mutations anywhere, cuts and insertions, through the file system', () => {
    const dir = scratch();
    const path = join(dir, 'x.safetensors');
    const mutation = fc.record({
      at: fc.integer({ min: 0, max: original.length }),
      remove: fc.integer({ min: 0, max: 16 }),
      insert: fc.uint8Array({ maxLength: 16 }),
    });
    fc.assert(
      fc.property(mutation, ({ at, remove, insert }) => {
        writeFileSync(path, Buffer.concat([original.subarray(0, at), insert, original.subarray(at + remove)]));
        try {
          const file = openSafetensors(path);
          for (const name of file.entries.keys()) file.readRaw(name);
          file.close();
        } catch (error) {
          if (!(error instanceof SightlineError)) throw error;
        }
      }),
      { numRuns: 3000, seed: 11 },
    );
  });
});

describe('reading', () => {
  test('empty tensors, scalars, padding and metadata', () => {
    const header = `{ "__metadata__": {"format": "pt", "\\u00e9": "\\"quoted\\""}, ${floatEntry('empty', [0, 3], 0)},
      ${floatEntry('scalar', [], 0)}}   `;
    const file = openSafetensors(write(safetensorsBytes(header, new Uint8Array(Float32Array.of(7.5).buffer))));
    expect([...file.metadata]).toEqual([
      ['format', 'pt'],
      ['é', '"quoted"'],
    ]);
    expect([...file.read('empty')]).toEqual([]);
    expect([...file.read('scalar')]).toEqual([7.5]);
    file.close();
  });

  test('an odd header length does not disturb alignment', () => {
    const file = openSafetensors(write(safetensorsBytes(`{${floatEntry('abc', [3], 0)}}`, new Uint8Array(12))));
    expect(file.entries.get('abc')!.begin % 4).not.toBe(0);
    expect(file.read('abc').length).toBe(3);
    file.close();
  });

  test('integers are no weights', async () => {
    const header = '{"i":{"dtype":"I64","shape":[3],"data_offsets":[0,24]}}';
    const file = openSafetensors(write(safetensorsBytes(header, new Uint8Array(24))));
    expect(shown(await refusal(() => file.read('i')))).toMatch(/"i" has dtype I64/);
    file.close();
  });

  test('parts of a tensor, and parts that are not there', () => {
    const file = openSafetensors(write(floatsFile({ a: [1], b: [10] })));
    const part = new Float32Array(3);
    file.readWeights('b', part, 4);
    expect([...part]).toEqual([6, 7, 8]);
    expect(() => file.readWeights('b', part, 8)).toThrow(/internal/);
    file.close();
    file.close();
    expect(() => file.read('b')).toThrow(/closed/);
  });
});

describe('writing', () => {
  test('what is written is read back, aligned, wider dtypes first', async () => {
    const path = join(scratch(), 'x.safetensors');
    const half = Uint8Array.of(0, 0x3c);
    const float = new Uint8Array(Float32Array.of(1.5, -2).buffer);
    await writeSafetensors(path, [
      { name: 'half "é"', dtype: 'F16', shape: [1], chunks: () => [half] },
      { name: 'float', dtype: 'F32', shape: [2], chunks: () => [float.subarray(0, 3), float.subarray(3)] },
      { name: 'none', dtype: 'BF16', shape: [0], chunks: () => [] },
    ]);
    const file = openSafetensors(path);
    expect([...file.entries.keys()]).toEqual(['float', 'half "é"', 'none']);
    expect(file.entries.get('float')!.begin % 8).toBe(0);
    expect([...file.read('float'), ...file.read('half "é"')]).toEqual([1.5, -2, 1]);
    expect([...file.metadata]).toEqual([['format', 'pt']]);
    file.close();
  });

  test('a tensor that gives too few bytes, or a name twice, is our bug', async () => {
    const dir = scratch();
    const one = { name: 'a', dtype: 'F32', shape: [2], chunks: () => [new Uint8Array(4)] } as const;
    await expect(writeSafetensors(join(dir, 'x'), [one])).rejects.toThrow(
      /internal: tensor a gave 4 bytes, expected 8/,
    );
    await expect(writeSafetensors(join(dir, 'y'), [one, one])).rejects.toThrow(/twice/);
  });
});
