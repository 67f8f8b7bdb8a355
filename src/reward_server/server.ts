/**
 * Serves rewards to a trainer in another process: JSON over HTTP on a Unix socket, with limits on size and time.
 * Knows HTTP; the service handles the bodies.
 */
import { chmodSync, lstatSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { messageOf, SightlineError } from '../errors.ts';
import type { FailureRule } from '../rewards/deadline.ts';
import { untilAborted } from '../util/until_aborted.ts';
import { createService, type Handler } from './service.ts';

export interface ServerOptions {
  readonly socket: string;
  /** Seconds within which a request must be answered. */
  readonly deadline: number;
  /** For rewards that fail. Default: the error is the answer. */
  readonly rule?: FailureRule;
  /** Larger requests are refused. */
  readonly maxRequestBytes: number;
  readonly signal: AbortSignal;
  readonly service?: Readonly<Record<string, Handler>>;
}

/**
 * Serves until the signal is aborted, and removes the socket then.
 *
 * @param onReady called once the server accepts requests
 * Error: E_SOCKET if the path is too long, exists but is not a socket, or belongs to another running server.
 */
export async function serveRewards(options: ServerOptions, onReady: () => void): Promise<void> {
  const { socket, signal, service = createService(options.rule) } = options;
  await makeRoom(socket);
  const server = createServer((request, response) => void answer(request, response, service, options));
  server.requestTimeout = options.deadline * 1000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(unusable(socket, messageOf(error))));
    server.listen(socket, resolve);
  });
  chmodSync(socket, 0o600);
  onReady();
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  server.closeAllConnections();
  await new Promise<void>((resolve) => server.close(() => resolve()));
}

// --- internal ---

/** Maximum bytes of a socket's path that work on all systems: macOS has room for 104 with the final zero, Linux for 108. */
const LONGEST_SOCKET_PATH = 103;

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  service: Readonly<Record<string, Handler>>,
  { deadline, maxRequestBytes, signal }: ServerOptions,
): Promise<void> {
  const late = AbortSignal.timeout(deadline * 1000);
  const gone = new AbortController();
  response.once('close', () => gone.abort(new Error('the trainer has disconnected')));
  try {
    const handler = Object.hasOwn(service, request.url ?? '') ? service[request.url!] : undefined;
    if (handler === undefined || request.method !== 'POST') {
      const paths = Object.keys(service).join(', ');
      throw new SightlineError('E_REQUEST', `${request.method} ${request.url} is not served; POST one of ${paths}`);
    }
    const body = parseBody(await readBody(request, maxRequestBytes));
    const ends = AbortSignal.any([late, gone.signal, signal]);
    send(response, 200, await untilAborted(handler(body, ends), ends));
  } catch (error) {
    send(response, ...errorResponse(late.aborted ? tooLate(deadline) : error));
  }
}

async function readBody(request: IncomingMessage, limit: number): Promise<string> {
  const tooLarge = (bytes: number) =>
    new SightlineError('E_REQUEST_TOO_LARGE', `a request has ${bytes} bytes; the limit is ${limit}`, {
      hint: 'raise --max_request_mib, or judge fewer completions at once',
    });
  const stated = Number(request.headers['content-length'] ?? 0);
  if (stated > limit) throw tooLarge(stated);
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += (part as Buffer).length;
    if (bytes > limit) throw tooLarge(bytes);
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts).toString('utf8');
}

function parseBody(text: string): unknown {
  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new SightlineError('E_REQUEST', `a request is not JSON: ${messageOf(cause)}`, { where: 'request', cause });
  }
}

function errorResponse(error: unknown): [status: number, body: unknown] {
  if (!(error instanceof SightlineError)) {
    const stack = error instanceof Error ? error.stack : undefined;
    return [500, { error: { code: 'E_INTERNAL', message: messageOf(error), where: stack ?? null, hint: null } }];
  }
  const { code, message, where, hint } = error;
  return [
    code === 'E_REQUEST_TOO_LARGE' ? 413 : 400,
    { error: { code, message, where: where ?? null, hint: hint ?? null } },
  ];
}

function tooLate(seconds: number): SightlineError {
  return new SightlineError('E_REWARD_DEADLINE', `the request was not answered within ${seconds} s`, {
    hint: 'find out what the reward waits for, or raise --deadline',
  });
}

function send(response: ServerResponse, status: number, body: unknown): void {
  if (response.destroyed) return;
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    connection: 'close',
  });
  response.end(text);
}

/** Removes a socket that a killed server has left. Refuses a path that another server uses or that is not a socket. */
async function makeRoom(socket: string): Promise<void> {
  if (Buffer.byteLength(socket) > LONGEST_SOCKET_PATH) {
    throw unusable(socket, `its path has ${Buffer.byteLength(socket)} bytes; the limit is ${LONGEST_SOCKET_PATH}`);
  }
  const found = lstatSync(socket, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw unusable(socket, 'the path exists and is not a socket');
  const answers = await new Promise<boolean>((resolve) => {
    const probe = connect(socket, () => resolve(true));
    probe.once('error', () => resolve(false));
    probe.once('connect', () => probe.destroy());
  });
  if (answers) throw unusable(socket, 'another server uses it');
  rmSync(socket, { force: true });
}

function unusable(socket: string, why: string): SightlineError {
  return new SightlineError('E_SOCKET', `cannot serve on ${socket}: ${why}`, {
    where: '--socket',
    hint: 'name a file that does not exist, in a folder of your own',
  });
}
