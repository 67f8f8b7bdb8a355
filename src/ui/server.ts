/**
 * Starts the page: the server, with limits on what a client may send, over the library of runs.
 */
import { once } from 'node:events';
import { statSync } from 'node:fs';
import type { Server } from 'node:http';
import { type AddressInfo, isIP } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { messageOf, SightlineError } from '../errors.ts';
import { createApp } from './app.ts';
import { createGuard } from './guard.ts';
import { createFence } from './inside.ts';
import { createLibrary, type Library } from './library.ts';
import { type PageFile, readPageFiles } from './page_files.ts';

export interface UiOptions {
  readonly folders: readonly string[];
  /** Address to listen on. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Further names that the Host header may have. */
  readonly hosts: readonly string[];
  /** The first token of the link; null for a random one. */
  readonly token: string | null;
  /** Ends the server. */
  readonly signal: AbortSignal;
  /** Called with the link to open, at the start and again after each use of one. */
  readonly onLink: (link: string) => void;
  readonly onFault: (error: unknown) => void;
  /** Files of the page; those of the build if absent. */
  readonly files?: readonly PageFile[];
}

export interface Ui {
  readonly port: number;
  readonly library: Library;
  /** Resolves when the server has ended. */
  readonly ended: Promise<void>;
}

/**
 * Resolves when the server accepts requests; runs are read meanwhile.
 *
 * Errors: E_UI_FOLDER for a folder that does not exist; E_UI_PORT if the address cannot be used; E_UI_BUILD.
 */
export async function startUi(options: UiOptions): Promise<Ui> {
  for (const folder of options.folders) {
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory()) continue;
    throw new SightlineError('E_UI_FOLDER', `there is no folder ${JSON.stringify(folder)}`, {
      where: 'sightline ui',
      hint: 'name the --output_dir of a run, or a folder above it',
    });
  }
  const fence = createFence(options.folders);
  const library = createLibrary(fence, options.onFault);
  let port = options.port;
  const linkOf = (token: string): string => `http://${linkHost(options.host)}:${port}/login?token=${token}`;
  const guard = createGuard({
    hosts: [...options.hosts, options.host],
    anyAddress: !isLoopback(options.host),
    port: () => port,
    ...(options.token !== null && { token: options.token }),
    onExchange: (token) => options.onLink(linkOf(token)),
  });
  const { signal, onFault, files = readPageFiles() } = options;
  const app = createApp({ library, fence, guard, files, signal, onFault });
  const server = createAdaptorServer({
    fetch: app.fetch,
    overrideGlobalObjects: false,
    serverOptions: LIMITS,
  }) as Server;
  server.maxConnections = MAX_CONNECTIONS;
  try {
    server.listen(port, options.host);
    await once(server, 'listening');
  } catch (cause) {
    throw new SightlineError('E_UI_PORT', `the page cannot be served: ${messageOf(cause)}`, {
      where: `--host ${options.host} --port ${port}`,
      hint: 'choose another --port; 0 takes any free one',
      exitCode: 1,
      cause,
    });
  }
  port = (server.address() as AddressInfo).port;
  options.onLink(linkOf(guard.token()));
  const closed = once(server, 'close');
  const end = (): void => {
    server.close();
    server.closeAllConnections();
  };
  if (signal.aborted) end();
  else signal.addEventListener('abort', end, { once: true });
  const ended = Promise.all([library.follow(signal), closed]).then(() => undefined);
  return { port, library, ended };
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

// --- internal ---

/** Against clients that send slowly, or much. */
const LIMITS = {
  headersTimeout: 10_000,
  requestTimeout: 15_000,
  connectionsCheckingInterval: 2_000,
  keepAliveTimeout: 5_000,
  maxHeaderSize: 16 * 1024,
};
const MAX_CONNECTIONS = 256;

/** An address for the link: that of this machine for a server on all interfaces. */
function linkHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost';
  return host.includes(':') ? `[${host}]` : host;
}
