/**
 * Reads Parquet: the footer when the file is opened, rows one row group at a time.
 * Knows the layout of row groups; hyparquet decodes them.
 */
import { type FileMetaData, parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { messageOf, SightlineError } from '../../errors.ts';
import { PARQUET_MAGIC } from './magic.ts';
import { plainValue } from './plain_value.ts';
import type { RandomAccess } from './random_access.ts';
import type { RowFile } from './row_file.ts';
import { damaged, type Group, tableFile } from './table.ts';

/** Errors: E_DATASET_FORMAT if the file is truncated, damaged or encrypted, or if a row group is too large. */
export async function openParquet(file: RandomAccess): Promise<RowFile> {
  const buffer = {
    byteLength: file.size,
    slice: (start: number, end = file.size) => {
      const read = file.read(start, end - start).then((bytes) => bytes.buffer);
      // hyparquet reads ahead and does not await reads that it turns out not to need.
      read.catch(() => {});
      return read;
    },
  };
  try {
    const metadata = await readFooter(file, buffer);
    const groups = metadata.row_groups.map((_, i) => groupOf(metadata, i, file));
    const starts = groups.map((_, i) => groups.slice(0, i).reduce((sum, { rows }) => sum + rows, 0));
    return tableFile(file, {
      format: 'Parquet',
      columns: parquetSchema(metadata).children.map(({ element }) => element.name),
      groups,
      decode: async (group) => {
        const rowStart = starts[group]!;
        const rowEnd = rowStart + groups[group]!.rows;
        // By default, bytes without a logical type would be read as text.
        const how = { compressors: decompressors, utf8: false, geoparquet: false };
        const rows = await parquetReadObjects({ file: buffer, metadata, rowStart, rowEnd, ...how });
        return (row) => plainValue(rows[row]);
      },
    });
  } catch (cause) {
    throw damaged('Parquet', file.path, messageOf(cause), file.path, cause);
  }
}

// --- internal ---

/** hyparquet-compressors 1.1.2 cannot read the single byte that LZ4 makes of an empty page. */
const decompressors = Object.fromEntries(
  Object.entries(compressors).map(([codec, decompress]) => [
    codec,
    (bytes: Uint8Array, size: number) => (size === 0 ? new Uint8Array(0) : decompress(bytes, size)),
  ]),
);

type Buffer = Parameters<typeof parquetMetadataAsync>[0];

/** A column chunk is decoded from one buffer. This size fits into a buffer in every supported version of Node. */
const MAX_GROUP_BYTES = 2 ** 32 - 1;

async function readFooter(file: RandomAccess, buffer: Buffer): Promise<FileMetaData> {
  const end = Buffer.from(await file.read(Math.max(0, file.size - 4), 4)).toString('latin1');
  if (end === 'PARE') throw damaged('Parquet', file.path, 'it is encrypted');
  if (end !== PARQUET_MAGIC || file.size < 12) throw damaged('Parquet', file.path, 'it has no footer at its end');
  try {
    return await parquetMetadataAsync(buffer, { geoparquet: false });
  } catch (cause) {
    throw damaged('Parquet', file.path, `its footer is not valid: ${messageOf(cause)}`, file.path, cause);
  }
}

/** Checks the footer's numbers and positions of a group, which the decoder uses without checking. */
function groupOf(metadata: FileMetaData, index: number, file: RandomAccess): Group {
  const group = metadata.row_groups[index]!;
  const rows = Number(group.num_rows);
  const bytes = Number(group.total_byte_size);
  const leaves = leafPaths(parquetSchema(metadata));
  const chunks = group.columns.map(({ meta_data }) => meta_data);
  const isPlausible =
    rows >= 0 &&
    bytes >= 0 &&
    chunks.length === leaves.length &&
    chunks.every((chunk, i) => {
      if (chunk === undefined || chunk.path_in_schema.join('\0') !== leaves[i]) return false;
      const start = Number(chunk.dictionary_page_offset ?? chunk.data_page_offset);
      const end = start + Number(chunk.total_compressed_size);
      return start >= 0 && end >= start && end <= file.size && Number(chunk.num_values) >= rows;
    });
  if (!isPlausible) throw damaged('Parquet', file.path, `row group ${index + 1} of its footer does not add up`);
  const largest = Math.max(bytes, ...chunks.map((chunk) => Number(chunk!.total_compressed_size)));
  if (largest <= MAX_GROUP_BYTES) return { rows, bytes };
  throw new SightlineError('E_DATASET_FORMAT', `row group ${index + 1} has ${largest} bytes`, {
    where: file.path,
    hint: 'groups are read as a whole: write the file with smaller ones (row_group_size=1000 in pandas and pyarrow)',
  });
}

type SchemaTree = ReturnType<typeof parquetSchema>;

/** Paths of the columns that hold values, in the order of a row group. */
function leafPaths({ path, children }: SchemaTree): string[] {
  return children.length === 0 ? [path.join('\0')] : children.flatMap(leafPaths);
}
