/**
 * Checks that the buffers of a decoded record batch hold what its header says. flechette itself does not check lengths and offsets.
 * Source of the rules: https://arrow.apache.org/docs/format/Columnar.html#physical-memory-layout.
 */
import { type Batch, Type } from '@uwdata/flechette';

/** Throws a plain error if lengths or offsets of a column, or of anything below it, go beyond its buffers. */
export function checkBatch(batch: Batch<unknown>, rows: number): void {
  const { length, nullCount, validity, offsets, sizes, values, children = [], type } = batch;
  const fail = (what: string): never => {
    throw new Error(`a column holds fewer ${what} than its length says`);
  };
  if (length < rows || nullCount > length) fail('rows');
  if (nullCount > 0 && validity !== undefined && validity.length * 8 < length) fail('marks of missing values');
  const [child] = children;
  if (sizes !== undefined) checkViews(offsets, sizes, length, child!.length);
  else if (offsets !== undefined) checkOffsets(offsets, length, child?.length ?? values.length);
  else if (values !== undefined && values.length < length * perValue(type)) fail('values');
  const needed = type.typeId === Type.Struct ? length : type.typeId === Type.FixedSizeList ? length * type.stride : 0;
  for (const each of children) checkBatch(each, needed);
}

// --- internal ---

type Numbers = ArrayLike<number | bigint>;

/** Entries in the value buffer for one value, if the type determines it. */
function perValue(type: Batch<unknown>['type']): number {
  if (type.typeId === Type.Bool) return 1 / 8;
  if (type.typeId === Type.FixedSizeBinary) return type.stride;
  if (type.typeId === Type.Utf8View || type.typeId === Type.BinaryView) return 16;
  return 1;
}

function checkOffsets(offsets: Numbers, length: number, limit: number): void {
  if (length === 0) return;
  if (offsets.length <= length) throw new Error('a column of lists or texts holds fewer offsets than values');
  let before = 0;
  for (let i = 0; i <= length; i++) {
    const offset = Number(offsets[i]);
    if (offset < before || offset > limit) throw new Error('an offset of a list or text lies outside of its values');
    before = offset;
  }
}

function checkViews(offsets: Numbers, sizes: Numbers, length: number, limit: number): void {
  for (let i = 0; i < length; i++) {
    const [offset, size] = [Number(offsets[i]), Number(sizes[i])];
    if (offset >= 0 && size >= 0 && offset + size <= limit) continue;
    throw new Error('an offset of a list lies outside of its values');
  }
}
