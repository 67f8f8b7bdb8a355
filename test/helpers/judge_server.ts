/**
 * A judge on a loopback port that answers as a test says, and keeps what it was asked.
 */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Asked {
  readonly body: JudgeBody;
  readonly headers: IncomingHttpHeaders;
}

/** The body of a request, as docs/rewards.md has it. */
export interface JudgeBody {
  readonly step: number;
  readonly max_steps: number;
  readonly ids: string[];
  readonly groups: number[];
  readonly completions: string[];
  readonly messages: unknown[];
  readonly columns: Record<string, unknown[]>;
}

export type Answerer = (asked: Asked, response: ServerResponse, number: number) => void;

export interface JudgeServer {
  readonly url: string;
  readonly asked: Asked[];
  close(): Promise<void>;
}

export async function judgeServer(answer: Answerer): Promise<JudgeServer> {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const one = { body: JSON.parse(Buffer.concat(parts).toString('utf8')) as JudgeBody, headers: request.headers };
    asked.push(one);
    answer(one, response, asked.length);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/judge`, asked, close: () => closed(server) };
}

/** Answers with JSON. */
export function reply(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
