/**
 * What checkpoint tests share: folders that vanish after each test, hand-made safetensors bytes, and errors as data.
 * Knows the file format only as far as building broken files needs.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach } from 'vitest';
import { SightlineError } from '../../src/errors.ts';

const made: string[] = [];

afterEach(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true });
});

/** An empty folder, removed after the test. */
export function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), 'sightline-'));
  made.push(dir);
  return dir;
}

/** Writes files into a new folder, by relative path. */
export function folderOf(files: Readonly<Record<string, string | Uint8Array>>): string {
  const dir = scratch();
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), content);
  }
  return dir;
}

/** Length, header and data as given, right or wrong. */
export function safetensorsBytes(
  header: string | Uint8Array,
  data: number | Uint8Array = 0,
  length?: bigint,
): Uint8Array<ArrayBuffer> {
  const head = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const body = typeof data === 'number' ? new Uint8Array(data) : data;
  const bytes = new Uint8Array(8 + head.length + body.length);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(head.length), true);
  bytes.set(head, 8);
  bytes.set(body, 8 + head.length);
  return bytes;
}

/** A header entry of float32, from byte `begin`. */
export function floatEntry(name: string, shape: readonly number[], begin: number): string {
  const end = begin + 4 * shape.reduce((a, b) => a * b, 1);
  return `${JSON.stringify(name)}:${JSON.stringify({ dtype: 'F32', shape, data_offsets: [begin, end] })}`;
}

/** A good file of float32 tensors counting up from 1. */
export function floatsFile(shapes: Readonly<Record<string, readonly number[]>>): Uint8Array<ArrayBuffer> {
  let position = 0;
  const entries = Object.entries(shapes).map(([name, shape]) => {
    const entry = floatEntry(name, shape, position);
    position += 4 * shape.reduce((a, b) => a * b, 1);
    return entry;
  });
  const values = Float32Array.from({ length: position / 4 }, (_, i) => i + 1);
  return safetensorsBytes(`{${entries.join(',')}}`, new Uint8Array(values.buffer));
}

/** The SightlineError that a call throws; anything else thrown, or nothing, fails the test. */
export async function refusal(call: () => unknown): Promise<SightlineError> {
  try {
    await call();
  } catch (error) {
    if (error instanceof SightlineError) return error;
    throw error;
  }
  throw new Error('expected a SightlineError, nothing was thrown');
}

/** Everything a user is shown of an error. */
export function shown(error: SightlineError): string {
  return [error.code, error.message, error.where, error.hint].join(' | ');
}
