/**
 * `sightline ui` as its own process, whose memory and open files can be read, with a client that keeps its cookie.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { Agent, type IncomingHttpHeaders, type RequestOptions, request } from 'node:http';
import { join } from 'node:path';
import { exitOf, startCli, written } from '../helpers/cli.ts';
import { repositoryRoot } from '../helpers/repository.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Program {
  readonly port: number;
  readonly cookie: string;
  get(path: string): Promise<Answer>;
  /** Any request; `content` is its body, sent in pieces. Rejects if the server ends the connection without an answer. */
  send(options: RequestOptions, content?: Iterable<Buffer>): Promise<Answer>;
  json<T>(path: string): Promise<T>;
  /** Largest resident set so far, in MiB. */
  peakMemory(): number;
  openFiles(): number;
  /** What it has written, but for the links. */
  complaints(): string;
  end(): Promise<void>;
}

/** Serves the folder with the built program. */
export async function startProgram(folder: string): Promise<Program> {
  const { child, text } = startCli(join(repositoryRoot, 'dist/cli/main.js'), ['ui', folder, '--port', '0']);
  await written(child, text, LINK);
  const link = new URL(LINK.exec(text.stdout)![0]);
  const port = Number(link.port);
  const agent = new Agent({ keepAlive: true, maxSockets: 50 });

  const send: Program['send'] = (options, content = []) =>
    new Promise((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port, ...options }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode!,
            headers: response.headers,
            body: Buffer.concat(chunks).toString(),
          }),
        );
      });
      sent.on('error', reject);
      for (const piece of content) sent.write(piece);
      sent.end();
    });
  const login = await send({ path: `${link.pathname}${link.search}` });
  const cookie = login.headers['set-cookie']![0]!.split(';')[0]!;
  const get: Program['get'] = (path) => send({ path, agent, headers: { cookie } });
  return {
    port,
    cookie,
    get,
    send,
    async json(path) {
      const { status, body } = await get(path);
      if (status !== 200) throw new Error(`${path} answered ${status}: ${body}`);
      return JSON.parse(body);
    },
    peakMemory: () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]) / 1024,
    openFiles: () => readdirSync(`/proc/${child.pid}/fd`).length,
    complaints: () => text.stderr + text.stdout.replaceAll(new RegExp(LINK, 'g'), ''),
    async end() {
      agent.destroy();
      child.kill('SIGTERM');
      await exitOf(child);
    },
  };
}

// --- internal ---

const LINK = /http\S+\/login\?token=\S+\n/;
