/**
 * What tests demand of sampled tokens, found by search: which tokens come is a property of a checkpoint and, where a draw
 * lies at the very edge of a token's share, of a processor's rounding. Knows ids, no model.
 */

/** Seeds to try, one after the other, for draws that several kernels agree on. One in ten misses; all of these never do. */
export const SEEDS = [5, 6, 7, 8, 9];

/**
 * A temperature and stop ids with which completions end at so many different lengths or more. Errors where every
 * temperature gives the same completions.
 *
 * @param draw completions at a temperature, with no stop ids
 */
export async function findEnds(
  lengths: number,
  draw: (temperature: number) => Promise<readonly ArrayLike<number>[]>,
): Promise<{ temperature: number; stopIds: number[] }> {
  for (const temperature of TEMPERATURES) {
    const stopIds = lengths > 1 ? stopsFor(await draw(temperature), lengths) : [];
    if (stopIds !== null) return { temperature, stopIds };
  }
  throw new Error(`at temperatures ${TEMPERATURES} no stop ids end these completions at ${lengths} lengths`);
}

/**
 * Stop ids with which these completions, drawn without any, end at so many different lengths or more: each is the one that
 * adds most lengths. Null where no stop ids do so.
 */
export function stopsFor(drawn: readonly ArrayLike<number>[], lengths: number): number[] | null {
  const completions = drawn.map((ids) => Array.from(ids));
  const candidates = [...new Set(completions.flat())];
  const stops: number[] = [];
  let most = 1;
  while (true) {
    const best = candidates
      .map((id) => ({ id, count: lengthsOf(completions, new Set([...stops, id])) }))
      .reduce((a, b) => (b.count > a.count ? b : a), { id: -1, count: most });
    if (best.count === most) break;
    stops.push(best.id);
    most = best.count;
  }
  return most >= lengths ? stops : null;
}

// --- internal ---

/** One after the other: a trained checkpoint may be sure of every token. */
const TEMPERATURES = [1.3, 2.6, 5.2, 10.4];

function lengthsOf(completions: readonly (readonly number[])[], stops: ReadonlySet<number>): number {
  const lengths = completions.map((ids) => {
    const end = ids.findIndex((id) => stops.has(id));
    return end < 0 ? ids.length : end + 1;
  });
  return new Set(lengths).size;
}
