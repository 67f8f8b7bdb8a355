/**
 * Routes of the texts: lists of groups and completions, one group, and the images of its prompt.
 */
import { isAbsolute, join } from 'node:path';
import { Hono } from 'hono';
import { z } from 'zod';
import { createExclusive } from '../util/mutex.ts';
import type { AttentionHead } from './api.ts';
import { imagePath, readGroup } from './group_view.ts';
import type { Env } from './guard.ts';
import { type Fence, isRefusal } from './inside.ts';
import type { Library } from './library.ts';
import { LARGEST_PICTURE, pictureType } from './pictures.ts';
import { count, readQuery } from './query.ts';
import { FILTERS, type ListQuery, orderedIds, UNITS, windowOf } from './row_list.ts';
import type { Run } from './run.ts';

export function completionRoutes(library: Library, fence: Fence): Hono<Env> {
  const routes = new Hono<Env>();
  const runOf = (context: { req: { param(name: string): string | undefined } }): Run | undefined =>
    library.run(context.req.param('id') ?? '');
  /** One search at a time, because each reads a whole file. */
  const exclusively = createExclusive();
  const searches = createRecent<Promise<ReadonlySet<number>>>();
  const orders = createRecent<readonly number[]>();

  routes.get('/list', async (context) => {
    const run = runOf(context);
    const read = readQuery(context, LIST);
    if (run === undefined) return context.notFound();
    if ('fault' in read) return read.fault;
    const { offset, limit, search, ...rest } = read.query;
    const key = `${run.folder.id} ${run.version}`;
    const found =
      search === ''
        ? null
        : await searches(`${key} ${search}`, () =>
            exclusively(() => run.search(search, AbortSignal.timeout(SEARCH_MS))),
          );
    const query: ListQuery = { ...rest, found };
    const ids = orders(`${key} ${JSON.stringify([rest, search])}`, () => orderedIds(run.table, query));
    return context.json(windowOf(run.table, query, ids, offset, limit));
  });

  routes.get('/groups/:group{[0-9]{1,9}}', async (context) => {
    const run = runOf(context);
    const group = run && (await readGroup(run, Number(context.req.param('group'))));
    return group == null ? context.notFound() : context.json(group);
  });

  routes.get('/completions/:row{[0-9]{1,9}}', (context) => {
    const run = runOf(context);
    const row = Number(context.req.param('row'));
    if (run === undefined || row >= run.table.rows) return context.notFound();
    return context.json({ group: run.table.groupOf(row) });
  });

  routes.get('/completions/:row{[0-9]{1,9}}/images/:image{[0-9]{1,4}}', async (context) => {
    const run = runOf(context);
    const path = run && (await imagePath(run, Number(context.req.param('row')), Number(context.req.param('image'))));
    if (path == null) return context.notFound();
    // Relative paths start from the folder of the program, or from that of the run, which may have been moved with its images.
    const named = await fence.open(path);
    const handle = isRefusal(named) && !isAbsolute(path) ? await fence.open(join(run!.folder.path, path)) : named;
    if (isRefusal(handle)) return context.text(`${IMAGE_REFUSED[handle]}\n`, 404);
    try {
      const { size } = await handle.stat();
      if (size > LARGEST_PICTURE) return context.text('the image is too large to be shown\n', 404);
      const content = await handle.readFile();
      const type = pictureType(content);
      if (type === null) return context.text('the file is not a picture that browsers show\n', 404);
      return context.body(new Uint8Array(content), 200, { 'Content-Type': type });
    } finally {
      await handle.close();
    }
  });

  routes.get('/completions/:row{[0-9]{1,9}}/attention', async (context) => {
    const run = runOf(context);
    const row = Number(context.req.param('row'));
    const found = run && (await attentionOf(run, row));
    if (found == null) return context.notFound();
    const { layers, entry } = found;
    const { tokens, grids, channels } = entry;
    const url = `/api/runs/${run!.folder.id}/completions/${row}/attention/values`;
    return context.json({ tokens, layers, grids, channels, url } satisfies AttentionHead);
  });

  routes.get('/completions/:row{[0-9]{1,9}}/attention/values', async (context) => {
    const run = runOf(context);
    const row = Number(context.req.param('row'));
    if (run === undefined || row >= run.table.rows) return context.notFound();
    const values = await run.attention.values(...placeOf(run, row));
    if (values === null) return context.notFound();
    return context.body(new Uint8Array(values), 200, { 'Content-Type': 'application/octet-stream' });
  });

  return routes;
}

// --- internal ---

/** The step of a completion, and its place among those of the step. */
function placeOf(run: Run, row: number): [step: number, place: number] {
  return [run.table.groups[run.table.groupOf(row)]!.step, run.table.placeOf(row).index];
}

async function attentionOf(run: Run, row: number) {
  return row < run.table.rows ? run.attention.entry(...placeOf(run, row)) : null;
}

const step = count.nullable().default(null);
const LIST = z.object({
  unit: z.enum(UNITS).default('group'),
  sort: z.string().max(500).default('step'),
  descending: z
    .enum(['true', 'false'])
    .default('false')
    .transform((word) => word === 'true'),
  filter: z.enum(FILTERS).default('all'),
  fromStep: step,
  toStep: step,
  search: z.string().max(500).default(''),
  offset: count.default(0),
  limit: count.pipe(z.number().min(1).max(500)).default(100),
});
const SEARCH_MS = 60_000;

/** The paths themselves are not told, because the reader of the page need not know the machine. */
const IMAGE_REFUSED = {
  missing: 'the image is no longer there',
  outside: 'the image is outside of the folders that sightline ui was given; name its folder as well',
  'not a file': 'the path of the image is not a file',
  unreadable: 'the image cannot be read',
};

/** Keeps the results of the last few keys. A rejected promise is not kept. */
function createRecent<T>(): (key: string, make: () => T) => T {
  const kept = new Map<string, T>();
  return (key, make) => {
    const value = kept.get(key) ?? make();
    kept.delete(key);
    kept.set(key, value);
    if (value instanceof Promise) value.catch(() => kept.delete(key));
    if (kept.size > 8) kept.delete(kept.keys().next().value!);
    return value;
  };
}
