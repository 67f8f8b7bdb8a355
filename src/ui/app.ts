/**
 * The routes of the page. They take ids and numbers, never paths, and only read.
 */
import { Hono } from 'hono';
import { streamSSE } from 'hono/streaming';
import type { Change } from './api.ts';
import { createCheckpointReader } from './checkpoints.ts';
import { completionRoutes } from './completion_routes.ts';
import { curveRoutes } from './curve_routes.ts';
import type { Env, Guard } from './guard.ts';
import type { Fence } from './inside.ts';
import type { Library } from './library.ts';
import type { PageFile } from './page_files.ts';
import { createVerdictReader } from './verdicts.ts';

export interface AppParts {
  readonly library: Library;
  readonly fence: Fence;
  readonly guard: Guard;
  readonly files: readonly PageFile[];
  /** Ends the streams of changes. */
  readonly signal: AbortSignal;
  /** Called with an error that is a bug of the server. */
  readonly onFault: (error: unknown) => void;
}

export function createApp({ library, fence, guard, files, signal, onFault }: AppParts): Hono<Env> {
  const app = new Hono<Env>();
  /** One function for each open stream, which makes it look for changes, or end. */
  const streams = new Set<() => void>();
  signal.addEventListener('abort', () => {
    for (const wake of streams) wake();
  });

  app.use(guard.everyRequest);
  app.get('/login', guard.exchange);
  app.use(guard.signedIn);
  for (const { path, type, content } of files) {
    app.get(path, (context) =>
      context.body(new Uint8Array(content), 200, { 'Content-Type': type, 'Cache-Control': 'no-cache' }),
    );
  }
  app.use('/api/*', async (context, next) => {
    await next();
    context.res.headers.set('Cache-Control', 'no-store');
  });
  app.get('/api/runs', (context) => context.json({ runs: library.runs().map((run) => run.summary()) }));
  app.get('/api/runs/:id/args', async (context) => {
    const args = await library.run(context.req.param('id'))?.args();
    return args === undefined ? context.notFound() : context.json({ args });
  });
  const verdicts = createVerdictReader(fence);
  app.get('/api/runs/:id/verdicts', async (context) => {
    const run = library.run(context.req.param('id'));
    return run === undefined ? context.notFound() : context.json({ verdicts: await verdicts.of(run) });
  });
  const checkpoints = createCheckpointReader(fence);
  app.get('/api/runs/:id/checkpoints', async (context) => {
    const run = library.run(context.req.param('id'));
    return run === undefined ? context.notFound() : context.json(await checkpoints.of(run));
  });
  app.route('/api', curveRoutes(library));
  app.route('/api/runs/:id', completionRoutes(library, fence));
  app.get('/api/events', (context) => {
    if (streams.size >= MAX_STREAMS) return context.text('too many pages are open\n', 429);
    let waiting: Change | null = null;
    let wake: () => void = () => undefined;
    const look = (): void => wake();
    streams.add(look);
    const unsubscribe = library.onChange((change) => {
      // Changes that a slow page has not read yet are merged, so that they never pile up.
      waiting = {
        runs: [...new Set([...(waiting?.runs ?? []), ...change.runs])],
        list: change.list || (waiting?.list ?? false),
      };
      look();
    });
    return streamSSE(context, async (stream) => {
      stream.onAbort(look);
      try {
        await stream.writeSSE({ event: 'ready', data: '{}' });
        while (!stream.aborted && !stream.closed && !signal.aborted) {
          if (waiting === null) {
            const timer = setTimeout(look, HEARTBEAT_MS);
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
            clearTimeout(timer);
          }
          const change: Change | null = waiting;
          waiting = null;
          if (change === null) await stream.write(': still here\n\n');
          else await stream.writeSSE({ event: 'change', data: JSON.stringify(change) });
        }
      } finally {
        unsubscribe();
        streams.delete(look);
      }
    });
  });
  app.notFound((context) => context.text('not found\n', 404));
  app.onError((error, context) => {
    if (context.req.raw.signal.aborted) return context.text('aborted\n', 499 as 500);
    onFault(error);
    return context.text('the server failed; its terminal says why\n', 500);
  });
  return app;
}

// --- internal ---

/** Browsers keep at most six connections per host; this is for many of them. */
const MAX_STREAMS = 64;
const HEARTBEAT_MS = 15_000;
