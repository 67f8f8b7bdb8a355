/**
 * Writes a command's output. A regular file appears complete or not at all; a device or a pipe is written as data comes.
 * Knows how to write and how to explain failures, not what is written.
 */
import { once } from 'node:events';
import { constants, openSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { explainDisk, SightlineError } from '../errors.ts';
import { type WriteTarget, writeTarget } from '../util/write_target.ts';

export interface OutputFileOptions {
  /** The flag that named the path, for messages. */
  readonly flag: string;
  readonly signal: AbortSignal;
}

/**
 * Calls `fill` with a function that writes text. A regular file is written under a temporary name and renamed at the end, also
 * if the path is a link. After a failure no partial file is left, and an existing file is unchanged. Devices, pipes and
 * standard output are written directly.
 *
 * Errors: E_OUTPUT; an abort throws the signal's reason.
 */
export async function writeOutputFile(
  path: string,
  options: OutputFileOptions,
  fill: (write: (text: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const explaining = async <T>(hint: string | null, act: () => Promise<T>): Promise<T> => {
    try {
      return await act();
    } catch (error) {
      throw explained(error, `${options.flag} ${path}`, hint);
    }
  };
  const target = await explaining(ELSEWHERE, async () => writeTarget(path));
  if (target.kind === 'folder') {
    throw new SightlineError('E_OUTPUT', `the output is a folder: ${path}`, {
      where: `${options.flag} ${path}`,
      hint: 'name a file in it',
    });
  }
  const sink = await explaining(ELSEWHERE, () => openSink(target, options.signal));
  try {
    await fill((text) => explaining(null, () => sink.write(text)));
    await explaining(null, () => sink.close());
  } catch (error) {
    await sink.discard();
    throw error;
  }
}

// --- internal ---

interface Sink {
  write(text: string): Promise<void>;
  close(): Promise<void>;
  /** Cleans up after a failure. */
  discard(): Promise<void>;
}

const ELSEWHERE = 'name a file in an existing, writable folder';

/** Milliseconds between two attempts to open a pipe that has no reader yet. */
const RETRY_MS = 50;

async function openSink(target: WriteTarget, signal: AbortSignal): Promise<Sink> {
  if (target.kind === 'file') return fileSink(target.path);
  if (target.descriptor === 1) return streamSink(process.stdout, false);
  if (target.descriptor === 2) return streamSink(process.stderr, false);
  if (target.kind === 'pipe') return streamSink(await openPipe(target.path, signal), true);
  const { O_WRONLY, O_APPEND } = constants;
  const handle = await open(target.path, O_WRONLY | O_APPEND); // does not truncate what is already there
  return {
    write: (text) => handle.appendFile(text),
    close: () => handle.close(),
    discard: () => handle.close().catch(() => undefined),
  };
}

async function fileSink(path: string): Promise<Sink> {
  const beside = `${path}.${process.pid}.tmp`;
  const handle = await open(beside, 'w');
  return {
    write: (text) => handle.appendFile(text),
    async close() {
      await handle.close();
      await rename(beside, path);
    },
    async discard() {
      await handle.close().catch(() => undefined);
      await rm(beside, { force: true }).catch(() => undefined);
    },
  };
}

/** @param own whether this file opened the stream, and so has to close it */
function streamSink(stream: NodeJS.WriteStream | Socket, own: boolean): Sink {
  return {
    write: (text) =>
      new Promise((resolve, reject) => {
        stream.write(text, (error) => (error ? reject(error) : resolve()));
      }),
    async close() {
      if (!own) return;
      stream.end();
      if (!stream.closed) await once(stream, 'close');
    },
    async discard() {
      if (own) stream.destroy();
    },
  };
}

/** Waits for a reader without blocking, because a thread that hangs in open(2) or write(2) prevents even process.exit. */
async function openPipe(path: string, signal: AbortSignal): Promise<Socket> {
  const { O_WRONLY, O_NONBLOCK } = constants;
  for (;;) {
    signal.throwIfAborted();
    try {
      const socket = new Socket({ fd: openSync(path, O_WRONLY | O_NONBLOCK), readable: false, writable: true });
      socket.on('error', () => undefined); // the failing write reports it
      return socket;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENXIO')) throw error;
    }
    await sleep(RETRY_MS);
  }
}

/**
 * Turns a system error into a SightlineError; returns other errors unchanged.
 *
 * @param missing the hint if the path itself is at fault
 */
function explained(error: unknown, where: string, missing: string | null): unknown {
  const code = String((error as NodeJS.ErrnoException | undefined)?.code);
  const isPath = ['ENOENT', 'EACCES', 'EPERM', 'ENOTDIR'].includes(code);
  const hint = isPath && missing !== null ? { hint: missing } : {};
  return explainDisk(error, 'E_OUTPUT', 'the file cannot be written', { where, ...hint });
}
