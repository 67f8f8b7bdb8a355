/**
 * Cuts the records of a run back to the step that it continues from: later records belong to steps that are done again.
 */
import { closeSync, existsSync, ftruncateSync, openSync, readSync } from 'node:fs';
import { isJsonObject, type JsonObject } from '../util/json.ts';

/**
 * Truncates a JSONL file at the first line that belongs to a later step, to no step, or is cut off. Steps do not decrease from
 * line to line. Memory is bounded by the longest line.
 *
 * @param keep gets every record that stays
 */
export function cutBack(
  path: string,
  step: number,
  stepOf: (record: JsonObject) => number | null,
  keep: (record: JsonObject) => void = () => undefined,
): void {
  if (!existsSync(path)) return;
  const fd = openSync(path, 'r+');
  try {
    let end = 0;
    for (const line of linesOf(fd)) {
      const record = parsed(line.subarray(0, -1).toString('utf8'));
      const at = record && stepOf(record);
      if (record === null || at === null || at > step) break;
      end += line.length;
      keep(record);
    }
    ftruncateSync(fd, end);
  } finally {
    closeSync(fd);
  }
}

/** The step of a record of logging.jsonl; null for one that belongs to none. */
export function stepOfLog(record: JsonObject): number | null {
  const at = record['global_step/max_steps'];
  return typeof at === 'string' ? numberOf(at.split('/')[0]) : null;
}

/** The step of a table of completions.jsonl. */
export function stepOfTable({ step }: JsonObject): number | null {
  return Array.isArray(step) ? numberOf(step[0]) : null;
}

// --- internal ---

const CHUNK_BYTES = 1 << 20;

/** The complete lines of a file, with their line breaks. */
function* linesOf(fd: number): Generator<Buffer> {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  let parts: Buffer[] = []; // of the line under way
  for (let read = readSync(fd, chunk); read > 0; read = readSync(fd, chunk)) {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at !== -1 && at < read; at = chunk.indexOf(NEWLINE, from)) {
      yield Buffer.concat([...parts, chunk.subarray(from, at + 1)]);
      parts = [];
      from = at + 1;
    }
    if (from < read) parts.push(Buffer.from(chunk.subarray(from, read)));
  }
}

const NEWLINE = 0x0a;

function numberOf(text: unknown): number | null {
  const number = Number(text);
  return text !== '' && text !== undefined && Number.isSafeInteger(number) ? number : null;
}

function parsed(line: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(line);
    return isJsonObject(value) ? value : null;
  } catch {
    return null;
  }
}
