/**
 * Reads a JSON object from a foreign file: limits its size, requires UTF-8, and reports faults with their position.
 * Knows nothing about the meaning of the object.
 */
import { closeSync, readFileSync } from 'node:fs';
import { messageOf, SightlineError } from '../errors.ts';
import { describe, isJsonObject, type JsonObject, shownJson } from '../util/json.ts';
import { jsonFaultAt, lineAndColumn } from '../util/json_fault.ts';
import { openRegularFileSync } from '../util/regular_file.ts';
import { LFS_POINTER_BYTES, refuseLfsPointer } from './lfs_pointer.ts';

/** Bytes; larger than any real config or shard index (the index of a 235B model has 3 MB). */
const DEFAULT_LIMIT = 64 * 1024 * 1024;

/**
 * The JSON object in a file.
 *
 * Errors: E_FILE_MISSING, E_FILE_UNREADABLE, E_LFS_POINTER, E_JSON_INVALID, each with the path.
 */
export function readJsonFile(path: string, limit = DEFAULT_LIMIT): JsonObject {
  return parseJsonObject(readRegularFile(path, limit), path);
}

/** The same, or null if the file does not exist. */
export function readJsonFileIfPresent(path: string, limit = DEFAULT_LIMIT): JsonObject | null {
  try {
    return readJsonFile(path, limit);
  } catch (error) {
    if (error instanceof SightlineError && error.code === 'E_FILE_MISSING') return null;
    throw error;
  }
}

/** Opens a file of a checkpoint. Errors: E_FILE_MISSING, E_FILE_UNREADABLE. */
export function openCheckpointFile(path: string): { fd: number; size: number } {
  const fault = (code: string, message: string, hint: string, cause?: unknown): SightlineError =>
    new SightlineError(code, message, { where: path, hint, cause });
  return openRegularFileSync(path, {
    missing: (cause) => fault('E_FILE_MISSING', 'file not found', 'check the path', cause),
    unreadable: (cause) =>
      fault(
        'E_FILE_UNREADABLE',
        `the file cannot be read: ${messageOf(cause)}`,
        'check its permissions, and that its disk is there',
        cause,
      ),
    notRegular: (kind) =>
      fault('E_FILE_UNREADABLE', `${kind}, not a regular file`, 'put the file of the checkpoint in its place'),
  });
}

/** The bytes of a regular file of at most `limit` bytes. Errors: E_FILE_MISSING, E_FILE_UNREADABLE, E_LFS_POINTER. */
export function readRegularFile(path: string, limit: number): Uint8Array {
  const { fd, size } = openCheckpointFile(path);
  try {
    if (size > limit) {
      throw new SightlineError('E_FILE_UNREADABLE', `the file has ${size} bytes; the limit is ${limit}`, {
        where: path,
        hint: 'this is not a checkpoint file; fetch it again',
      });
    }
    const bytes = readFileSync(fd);
    if (bytes.length <= LFS_POINTER_BYTES) refuseLfsPointer(bytes, path);
    return bytes;
  } finally {
    closeSync(fd);
  }
}

// --- internal ---

/** Parses bytes as a JSON object; `where` names their origin in errors. */
function parseJsonObject(bytes: Uint8Array, where: string): JsonObject {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new SightlineError('E_JSON_INVALID', 'not valid JSON: the file is not UTF-8', {
      where,
      hint: 'save the file as UTF-8; if it was fetched, it may be damaged: fetch it again',
      cause,
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw notJson(text, where, cause);
  }
  if (!isJsonObject(value)) {
    throw new SightlineError('E_JSON_INVALID', `expected a JSON object, found ${describe(value)}`, {
      where,
      hint: 'the file holds one object: {"name": value, ...}',
    });
  }
  return value;
}

function notJson(text: string, where: string, cause: unknown): SightlineError {
  const at = jsonFaultAt(text);
  const { line, column } = lineAndColumn(text, at);
  const ends = at >= text.length;
  const found = ends ? 'the text ends' : `${shownJson(text.slice(at, at + 20).split(/[\r\n]/)[0], 30)} is not expected`;
  return new SightlineError('E_JSON_INVALID', `not valid JSON: ${found} at line ${line}, column ${column}`, {
    where,
    hint: ends
      ? 'the file may be cut off: complete it, or fetch it again'
      : 'correct the text there or just before it; if the file was fetched, it may be damaged: fetch it again',
    cause,
  });
}
