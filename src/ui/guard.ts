/**
 * Who may see the page: requests that name this machine, come from the page itself and carry its cookie.
 *
 * The Host header is checked because a foreign site can point its own name at this machine (DNS rebinding); the Origin header,
 * because a foreign site can send requests here; the cookie, because other users of this machine can reach the port.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import type { HttpBindings } from '@hono/node-server';
import type { Context, MiddlewareHandler } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';

export interface GuardOptions {
  /** Names in the Host header that are accepted besides those of the loopback interface. */
  readonly hosts: readonly string[];
  /** Whether every IP address is accepted in the Host header: a foreign name cannot be one. */
  readonly anyAddress: boolean;
  readonly port: () => number;
  /** The first token; random if absent. */
  readonly token?: string;
  /** Called when a token has been exchanged, with the next one. */
  readonly onExchange?: (token: string) => void;
}

export type Env = { readonly Bindings: HttpBindings };

export interface Guard {
  /** The token that the next exchange takes. */
  token(): string;
  /** Headers of every answer, and the checks of Host and Origin. */
  readonly everyRequest: MiddlewareHandler<Env>;
  /** Answers the link with a cookie. */
  readonly exchange: (context: Context<Env>) => Response;
  /** Lets only requests with the cookie pass. */
  readonly signedIn: MiddlewareHandler<Env>;
}

export function createGuard(options: GuardOptions): Guard {
  let token = options.token ?? newToken();
  const secret = newToken();
  // Cookies do not tell ports apart, so that two servers on one machine need two names.
  const cookie = (): string => `sightline_${options.port()}`;

  return {
    token: () => token,
    async everyRequest(context, next) {
      const { rawHeaders } = context.env.incoming;
      const hosts = rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]!.toLowerCase() === 'host');
      if (hosts.length !== 1) context.res = refused(context, 400, 'one Host header is required');
      else if (!isAllowedHost(hosts[0]!, options)) context.res = refused(context, 403, 'this host name is not served');
      else if (!isOwnOrigin(context, hosts[0]!))
        context.res = refused(context, 403, 'requests of other sites are refused');
      else if (context.req.method !== 'GET' && context.req.method !== 'HEAD') {
        context.res = refused(context, 405, 'this server only reads');
        context.res.headers.set('Allow', 'GET, HEAD');
      } else if (hasContent(context)) context.res = refused(context, 413, 'this server takes no content');
      else await next();
      for (const [name, value] of Object.entries(HEADERS)) context.res.headers.set(name, value);
    },
    exchange(context) {
      if (!isEqual(context.req.query('token') ?? '', token)) return refused(context, 401, USED);
      token = newToken();
      options.onExchange?.(token);
      setCookie(context, cookie(), secret, { httpOnly: true, sameSite: 'Strict', path: '/' });
      // A redirect would still count as coming from the site that held the link, and the cookie would not be sent.
      return context.html(
        '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/"><title>sightline</title><link rel="icon" href="data:,">',
      );
    },
    async signedIn(context, next) {
      if (!isEqual(getCookie(context, cookie()) ?? '', secret)) return refused(context, 401, NOT_SIGNED_IN);
      return next();
    },
  };
}

// --- internal ---

const NOT_SIGNED_IN = 'Open the link that `sightline ui` has printed.';
const USED = 'This link has been used already, or is wrong. `sightline ui` prints a new one after each use.';

/** No script but the page's own file, nothing from elsewhere, and no page around this one. */
const HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), microphone=(), geolocation=()',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
};

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);

function newToken(): string {
  return randomBytes(24).toString('base64url');
}

/** Compares digests, so that neither length nor content shows in the time. */
function isEqual(given: string, expected: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

/** The port is not compared: a forwarded one differs, and a foreign site cannot gain by it. */
function isAllowedHost(header: string, { hosts, anyAddress }: GuardOptions): boolean {
  const [, name] = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::\d{1,5})?$/i.exec(header) ?? [];
  if (name === undefined) return false;
  const lower = name.toLowerCase();
  if (LOOPBACK.has(lower) || hosts.some((host) => host.toLowerCase() === lower)) return true;
  return anyAddress && isIP(lower.replace(/^\[|\]$/g, '')) !== 0;
}

/** Requests of other sites carry their origin or, in current browsers, Sec-Fetch-Site. Following a link is allowed. */
function isOwnOrigin(context: Context<Env>, host: string): boolean {
  const origin = context.req.header('origin');
  if (origin !== undefined && origin !== `http://${host}`) return false;
  const site = context.req.header('sec-fetch-site');
  if (site === undefined || site === 'same-origin' || site === 'none') return true;
  return context.req.header('sec-fetch-mode') === 'navigate' && context.req.header('sec-fetch-dest') === 'document';
}

function hasContent(context: Context<Env>): boolean {
  const length = context.req.header('content-length');
  return context.req.header('transfer-encoding') !== undefined || (length !== undefined && Number(length) !== 0);
}

function refused(context: Context<Env>, status: 400 | 401 | 403 | 405 | 413, reason: string): Response {
  return context.text(`${reason}\n`, status, { 'Cache-Control': 'no-store' });
}
