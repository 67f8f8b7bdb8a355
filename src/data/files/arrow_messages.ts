/**
 * Finds the messages of an Arrow IPC file or stream without reading their bodies.
 * Knows the framing and three fields of a message header; flechette knows the rest.
 * Source: https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format and format/Message.fbs.
 */
import { ARROW_MAGIC } from './magic.ts';
import type { RandomAccess } from './random_access.ts';

export interface ArrowMessage {
  readonly kind: 'schema' | 'dictionary' | 'batch';
  /** Byte range of the message in the file, including prefix and body. */
  readonly at: number;
  readonly size: number;
  /** Number of rows of a record batch; 0 for other messages. */
  readonly rows: number;
}

/** All messages up to the end mark. Errors are plain; the caller adds the name of the file. */
export async function messagesOf(file: RandomAccess): Promise<readonly ArrowMessage[]> {
  const start = Buffer.from(await file.read(0, ARROW_MAGIC.length)).toString('latin1');
  const messages: ArrowMessage[] = [];
  let at = start === ARROW_MAGIC ? 8 : 0;
  for (;;) {
    const prefix = view(await file.read(at, 8));
    if (prefix.byteLength < 8) throw new Error(`it ends before its end is marked, after ${messages.length} messages`);
    if (prefix.getUint32(0, true) !== CONTINUATION) throw new Error(`no message begins at byte ${at}`);
    const headerSize = prefix.getInt32(4, true);
    if (headerSize === 0) return messages;
    const header = view(await file.read(at + 8, headerSize > 0 ? headerSize : 0));
    if (headerSize < 0 || header.byteLength < headerSize) throw new Error(`the message at byte ${at} is cut off`);
    const { kind, rows, bodySize } = readHeader(header);
    const size = 8 + headerSize + bodySize;
    if (bodySize < 0 || at + size > file.size) throw new Error(`the message at byte ${at} is cut off`);
    if ((messages.length === 0) !== (kind === 'schema')) throw new Error('it does not begin with its only schema');
    messages.push({ kind, at, size, rows });
    at += size;
  }
}

/** Whether the bytes begin a stream, which has no magic bytes but starts with a schema message. */
export function beginsStream(start: Uint8Array): boolean {
  return start.length >= 8 && view(start).getUint32(0, true) === CONTINUATION;
}

// --- internal ---

const CONTINUATION = 0xffffffff;
const KINDS: Readonly<Record<number, ArrowMessage['kind']>> = { 1: 'schema', 2: 'dictionary', 3: 'batch' };

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** A flatbuffer `Message`: version, type of the header, the header, length of the body. */
function readHeader(data: DataView): { kind: ArrowMessage['kind']; rows: number; bodySize: number } {
  const message = data.getUint32(0, true);
  const type = fieldAt(data, message, 1);
  const header = fieldAt(data, message, 2);
  const body = fieldAt(data, message, 3);
  const kind = KINDS[type === null ? 0 : data.getUint8(type)];
  if (kind === undefined || header === null) throw new Error('it has a message of an unknown kind');
  const length = kind === 'batch' ? fieldAt(data, header + data.getUint32(header, true), 0) : null;
  return {
    kind,
    rows: length === null ? 0 : countAt(data, length),
    bodySize: body === null ? 0 : countAt(data, body),
  };
}

/** Position of a field in a flatbuffer table; null if the field is absent. */
function fieldAt(data: DataView, table: number, field: number): number | null {
  const vtable = table - data.getInt32(table, true);
  const slot = 4 + 2 * field;
  const offset = slot < data.getUint16(vtable, true) ? data.getUint16(vtable + slot, true) : 0;
  return offset === 0 ? null : table + offset;
}

function countAt(data: DataView, at: number): number {
  const count = Number(data.getBigInt64(at, true));
  if (count < 0 || !Number.isSafeInteger(count)) throw new Error('a message has a size that cannot be');
  return count;
}
