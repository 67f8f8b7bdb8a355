/**
 * The page's server for tests, with a client that can send what browsers would not.
 */
import { type IncomingHttpHeaders, request } from 'node:http';
import { afterAll } from 'vitest';
import type { PageFile } from '../../src/ui/page_files.ts';
import { startUi, type Ui, type UiOptions } from '../../src/ui/server.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Served {
  readonly ui: Ui;
  /** Links that were printed, the first one first. */
  readonly links: readonly string[];
  readonly faults: readonly unknown[];
  readonly cookie: string;
  /** Sends the cookie, unless other headers are given. */
  get(path: string, options?: { method?: string; headers?: Record<string, string | string[]> }): Promise<Answer>;
  json<T>(path: string): Promise<T>;
}

/** What a build would leave. */
export const files: readonly PageFile[] = [
  { path: '/', type: 'text/html; charset=utf-8', content: Buffer.from('<!doctype html>') },
  { path: '/app.js', type: 'text/javascript; charset=utf-8', content: Buffer.from('') },
];

/** Serves the folders, with all of their files read once. The server ends with the test file. */
export async function serve(folders: readonly string[], changes: Partial<UiOptions> = {}): Promise<Served> {
  const ending = new AbortController();
  const links: string[] = [];
  const faults: unknown[] = [];
  const ui = await startUi({
    folders,
    host: '127.0.0.1',
    port: 0,
    hosts: [],
    token: null,
    signal: ending.signal,
    onLink: (link) => links.push(link),
    onFault: (error) => faults.push(error),
    files,
    ...changes,
  });
  afterAll(async () => {
    ending.abort();
    await ui.ended;
  });
  await ui.library.refresh();
  const send = (path: string, method: string, headers: Record<string, string | string[]>): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port: ui.port, path, method, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) }),
        );
        response.on('error', reject);
      });
      sent.on('error', reject);
      sent.end();
    });
  const link = new URL(links[0]!);
  const [given] = (await send(`${link.pathname}${link.search}`, 'GET', {})).headers['set-cookie']!;
  const cookie = given!.split(';')[0]!;
  const get: Served['get'] = (path, { method = 'GET', headers } = {}) => send(path, method, headers ?? { cookie });
  return {
    ui,
    links,
    faults,
    cookie,
    get,
    async json(path) {
      const { status, body } = await get(path);
      if (status !== 200) throw new Error(`${path} answered ${status}: ${body.toString()}`);
      return JSON.parse(body.toString());
    },
  };
}
