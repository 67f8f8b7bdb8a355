/**
 * Reads the query of a request: every parameter has a schema, and a wrong one is an answer, not an error of the server.
 */
import type { Context } from 'hono';
import { z } from 'zod';

/** A number from the text of a query. */
export const count = z
  .string()
  .regex(/^\d{1,9}$/)
  .transform(Number);

/**
 * The query as the schema has it, or the answer that says which parameter is wrong. Parameters in `lists` may occur several
 * times and are arrays.
 */
export function readQuery<T extends z.ZodType>(
  context: Context,
  schema: T,
  lists: readonly string[] = [],
): { readonly query: z.infer<T> } | { readonly fault: Response } {
  const given = Object.entries(context.req.queries()).map(([name, values]) => [
    name,
    lists.includes(name) ? values : values.at(-1),
  ]);
  const parsed = schema.safeParse(Object.fromEntries(given));
  if (parsed.success) return { query: parsed.data };
  const [issue] = parsed.error.issues;
  return { fault: context.text(`${issue!.path.join('.')}: ${issue!.message}\n`, 400) };
}
