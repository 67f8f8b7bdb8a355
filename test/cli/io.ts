/**
 * A pretended process for the tests of commands.
 */
import { PassThrough, Readable } from 'node:stream';
import type { Io } from '../../src/cli/io.ts';

export function pretendIo(changes: { input?: string; signal?: AbortSignal } = {}) {
  const text = { stdout: '', stderr: '' };
  const collect = (name: keyof typeof text) => {
    const stream = new PassThrough();
    stream.on('data', (chunk: Buffer) => {
      text[name] += chunk.toString();
    });
    return stream;
  };
  const io: Io = {
    env: {},
    stdin: Readable.from(changes.input === undefined ? [] : [changes.input]),
    stdout: collect('stdout'),
    stderr: collect('stderr'),
    signal: changes.signal ?? new AbortController().signal,
  };
  return { io, text };
}
