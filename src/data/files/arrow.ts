/**
 * Reads Arrow IPC, one record batch at a time: files (Feather 2) and streams, which `save_to_disk` of Hugging Face datasets
 * writes. Knows which messages a batch needs; flechette decodes them.
 */
import { CompressionType, type Field, setCompressionCodec, tableFromIPC } from '@uwdata/flechette';
import { compressors } from 'hyparquet-compressors';
import { messageOf } from '../../errors.ts';
import { checkBatch } from './arrow_check.ts';
import { type ArrowMessage, messagesOf } from './arrow_messages.ts';
import { plainValue } from './plain_value.ts';
import type { RandomAccess } from './random_access.ts';
import type { RowFile } from './row_file.ts';
import { damaged, tableFile } from './table.ts';

/** Errors: E_DATASET_FORMAT for a file that is cut off or damaged. */
export async function openArrow(file: RandomAccess): Promise<RowFile> {
  try {
    const messages = await messagesOf(file);
    const batches = messages.filter(({ kind }) => kind === 'batch');
    const bytesOf = ({ at, size }: ArrowMessage): Promise<Uint8Array> => file.read(at, size);
    const [schema] = messages;
    // Each row takes at least one bit of a batch.
    if (batches.some(({ rows, size }) => rows > 8 * size)) throw new Error('a batch has more rows than it can hold');
    if (schema === undefined) throw new Error('it has no schema');
    const { fields } = tableFromIPC([await bytesOf(schema)]).schema;
    const readers = fields.map(readerOf);
    return tableFile(file, {
      format: 'Arrow',
      columns: fields.map(({ name }) => name),
      groups: batches.map(({ rows, size }) => ({ rows, bytes: size })),
      decode: async (group) => {
        const batch = batches[group]!;
        const dictionaries = messages.filter(({ kind, at }) => kind === 'dictionary' && at < batch.at);
        const parts: Uint8Array[] = [];
        for (const message of [schema, ...dictionaries, batch]) parts.push(await bytesOf(message));
        const columns = tableFromIPC(parts, { useBigInt: true, useDate: true }).children;
        for (const { data } of columns) for (const part of data) checkBatch(part, batch.rows);
        return (row) => Object.fromEntries(fields.map(({ name }, i) => [name, readers[i]!(columns[i]!.at(row))]));
      },
    });
  } catch (cause) {
    throw damaged('Arrow', file.path, messageOf(cause), file.path, cause);
  }
}

// --- internal ---

setCompressionCodec(CompressionType.ZSTD, {
  // A typed array must begin at a multiple of its element size, so the bytes are copied.
  decode: (bytes, size) => compressors.ZSTD!(bytes, size).slice(),
  encode: () => {
    throw new Error('internal: datasets are not written as Arrow');
  },
});
setCompressionCodec(CompressionType.LZ4_FRAME, {
  decode: () => {
    throw new Error('it is compressed with LZ4, which is not read; write it with zstd, or uncompressed');
  },
  encode: () => {
    throw new Error('internal: datasets are not written as Arrow');
  },
});

type Read = (value: unknown) => unknown;

/** The feature `Json` of datasets 4 is text with this mark, in the column or anywhere below it. */
const isJson = ({ metadata }: Field): boolean => metadata?.get('ARROW:extension:name') === 'arrow.json';

/** How the values of a field are read. The text of a `Json` feature is parsed. */
function readerOf(field: Field): Read {
  if (!hasJson(field)) return plainValue;
  if (isJson(field)) return (value) => (typeof value === 'string' ? (JSON.parse(value) as unknown) : plainValue(value));
  const children = childrenOf(field).map((child) => ({ name: child.name, read: readerOf(child) }));
  const [item] = children;
  return (value) => {
    if (value === null || value === undefined) return null;
    if (Array.isArray(value)) return value.map(item!.read);
    return Object.fromEntries(children.map(({ name, read }) => [name, read((value as Record<string, unknown>)[name])]));
  };
}

const childrenOf = ({ type }: Field): readonly Field[] => ('children' in type ? (type.children as Field[]) : []);

const hasJson = (field: Field): boolean => isJson(field) || childrenOf(field).some(hasJson);
