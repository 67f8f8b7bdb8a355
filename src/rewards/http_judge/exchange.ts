/**
 * One request over HTTP and its answer, with a deadline, a limit on the size of the answer, and retries.
 * Knows statuses and sockets; knows nothing of completions.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../errors.ts';
import { plural } from '../../util/plural.ts';

export interface ExchangeOptions {
  readonly url: URL;
  readonly token: string | null;
  /** Seconds for one try. */
  readonly timeout: number;
  readonly retries: number;
  /** Seconds before the first retry. */
  readonly backoff: number;
  /** Aborts the exchange. */
  readonly signal: AbortSignal;
}

export interface Exchanged {
  /** Body of an answer with the status 2xx. */
  readonly text: string;
  /** Number of failed tries before this answer. */
  readonly retried: number;
}

/** There is no usable answer after the allowed number of tries. */
export class ExchangeError extends Error {
  constructor(
    message: string,
    /** The next step. */
    readonly hint: string,
  ) {
    super(message);
  }
}

/** Larger answers are refused unread. A number and a reason for one completion take some 200 bytes. */
export const MAX_ANSWER_BYTES = 16 * 2 ** 20;

/**
 * Posts JSON and returns the body of the answer. Redirects are not followed.
 *
 * @throws ExchangeError; the signal's reason
 */
export async function exchange(body: string, options: ExchangeOptions): Promise<Exchanged> {
  const { retries, backoff, signal } = options;
  for (let retried = 0; ; retried++) {
    signal.throwIfAborted();
    const answer = await tryOnce(body, options);
    signal.throwIfAborted();
    if ('text' in answer) return { text: answer.text, retried };
    if (!answer.again || retried === retries) {
      const tries = retried === 0 ? '' : ` (after ${plural(retried, 'retry', 'retries')})`;
      throw new ExchangeError(`${answer.fault}${tries}`, answer.hint);
    }
    const wait = Math.max(Math.min(backoff * 2 ** retried, LONGEST_WAIT), Math.min(answer.retryAfter, LONGEST_WAIT));
    await sleep(wait * 1000, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

// --- internal ---

/** Seconds between two tries, at most. */
const LONGEST_WAIT = 60;
const SHOWN = 200;

interface Failed {
  readonly fault: string;
  readonly hint: string;
  /** Whether a retry may help. */
  readonly again: boolean;
  /** Pause that the server asks for, in seconds. */
  readonly retryAfter: number;
}

type Answer = { readonly text: string } | Failed;

/** One try. An aborted signal looks like a failure here; the caller checks the signal. */
function tryOnce(body: string, { url, token, timeout, signal }: ExchangeOptions): Promise<Answer> {
  return new Promise((resolve) => {
    const post = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = post(url, {
      method: 'POST',
      agent: false, // a new connection: the judge may have closed one that was kept open
      headers: {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        accept: 'application/json',
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      },
    });
    const end = (answer: Answer): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      resolve(answer);
      request.destroy();
    };
    const lost = (error: unknown) => end(failed(`no answer: ${messageOf(error)}`, LOST, true));
    const onAbort = () => lost(signal.reason);
    const timer = setTimeout(
      () =>
        end(
          failed(
            `no answer within ${timeout} s`,
            'raise --http_judge_timeout, or send less at once: --http_judge_batch_size',
            true,
          ),
        ),
      timeout * 1000,
    );
    signal.addEventListener('abort', onAbort, { once: true });
    request.on('error', lost);
    request.on('response', (response) => {
      response.on('error', lost);
      read(response, token).then(end, lost);
    });
    request.end(body);
  });
}

const LOST = 'check that the judge runs at this address';

const failed = (fault: string, hint: string, again: boolean, retryAfter = 0): Failed => ({
  fault,
  hint,
  again,
  retryAfter,
});

async function read(response: IncomingMessage, token: string | null): Promise<Answer> {
  const status = response.statusCode ?? 0;
  if (status >= 300 && status < 400) {
    const to = quoted(response.headers.location ?? 'nowhere', token);
    return failed(
      `it redirects (status ${status}) to ${to}, which is not followed`,
      'give the address that it redirects to',
      false,
    );
  }
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response) {
    bytes += (part as Buffer).length;
    if (bytes > MAX_ANSWER_BYTES) {
      const limit = `more than ${MAX_ANSWER_BYTES / 2 ** 20} MiB`;
      return failed(
        `its answer is larger than expected: ${limit}`,
        'an answer has a number for each completion, and a short reason at most',
        false,
      );
    }
    parts.push(part as Buffer);
  }
  const text = Buffer.concat(parts).toString('utf8');
  if (status >= 200 && status < 300) return { text };
  const again = status >= 500 || [408, 425, 429].includes(status);
  const hint =
    status === 401 || status === 403 ? 'check the token: --http_judge_token_env' : "look at the judge's own log";
  return failed(
    `it answers with status ${status}: ${quoted(text, token)}`,
    hint,
    again,
    secondsOf(response.headers['retry-after']),
  );
}

/** The beginning of a text from the server. The token is masked, because a server may repeat what it was sent. */
export function excerpt(text: string, token: string | null): string {
  const clean = token === null ? text : text.replaceAll(token, '***');
  return clean.length > SHOWN ? `${clean.slice(0, SHOWN)}…` : clean;
}

/** An excerpt in quotes, with line breaks and control characters escaped. */
export function quoted(text: string, token: string | null): string {
  return JSON.stringify(excerpt(text, token));
}

/** Retry-After in seconds; 0 where it is absent or a date. */
function secondsOf(header: string | undefined): number {
  return header !== undefined && /^\d{1,6}$/.test(header.trim()) ? Number(header) : 0;
}
