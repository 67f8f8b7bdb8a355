/**
 * A file that a command writes for its user: whole or not at all where it is a file, line by line where it is a device or
 * a pipe. Knows how to write and how to say why not; not what is written.
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
 * Lets `fill` write. A regular file gets its name when all is on disk, through links too; if anything fails none is left,
 * and what was there before stays. Devices, pipes and standard output are written as it comes.
 *
 * Errors: E_OUTPUT; an abort throws the signal's reason.
 */
export async function writeOutputFile(
  path: string,
  options: OutputFileOptions,
  fill: (write: (text: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const told = async <T>(hint: string | null, act: () => Promise<T>): Promise<T> => {
    try {
      return await act();
    } catch (error) {
      throw explained(error, `${options.flag} ${path}`, hint);
    }
  };
  const target = await told(ELSEWHERE, async () => writeTarget(path));
  if (target.kind === 'folder') {
    throw new SightlineError('E_OUTPUT', `the output is a folder: ${path}`, {
      where: `${options.flag} ${path}`,
      hint: 'name a file in it',
    });
  }
  const sink = await told(ELSEWHERE, () => openSink(target, options.signal));
  try {
    await fill((text) => told(null, () => sink.write(text)));
    await told(null, () => sink.close());
  } catch (error) {
    await sink.discard();
    throw error;
  }
}

// --- internal ---

interface Sink {
  write(text: string): Promise<void>;
  close(): Promise<void>;
  /** Ends it after a failure. */
  discard(): Promise<void>;
}

const ELSEWHERE = 'name a file in a folder that exists and can be written';

/** Milliseconds between two looks whether somebody reads a pipe. */
const LOOK_MS = 50;

async function openSink(target: WriteTarget, signal: AbortSignal): Promise<Sink> {
  if (target.kind === 'file') return fileSink(target.path);
  if (target.descriptor === 1) return streamSink(process.stdout, false);
  if (target.descriptor === 2) return streamSink(process.stderr, false);
  if (target.kind === 'pipe') return streamSink(await openPipe(target.path, signal), true);
  const { O_WRONLY, O_APPEND } = constants;
  const handle = await open(target.path, O_WRONLY | O_APPEND); // what is there already is not ours to cut off
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

/** `own`: opened here, so to be closed here. */
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

/**
 * Waits for a reader without blocking: a thread that hangs in open(2) or write(2) keeps even process.exit from ending.
 */
async function openPipe(path: string, signal: AbortSignal): Promise<Socket> {
  const { O_WRONLY, O_NONBLOCK } = constants;
  for (;;) {
    signal.throwIfAborted();
    try {
      const socket = new Socket({ fd: openSync(path, O_WRONLY | O_NONBLOCK), readable: false, writable: true });
      socket.on('error', () => undefined); // told by the write that met it
      return socket;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENXIO')) throw error;
    }
    await sleep(LOOK_MS);
  }
}

/** A system's error as the user's; any other one as it is. `missing`: the hint where the path itself is the fault. */
function explained(error: unknown, where: string, missing: string | null): unknown {
  const code = String((error as NodeJS.ErrnoException | undefined)?.code);
  const isPath = ['ENOENT', 'EACCES', 'EPERM', 'ENOTDIR'].includes(code);
  const hint = isPath && missing !== null ? { hint: missing } : {};
  return explainDisk(error, 'E_OUTPUT', 'the file cannot be written', { where, ...hint });
}
