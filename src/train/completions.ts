/**
 * Completions for readers: the dataset row, prompt and text, rewards and advantage, and the columns that rewards logged.
 */
import type { Row } from '../data/row.ts';
import { type Json, toJson } from '../util/json.ts';
import type { CompletionRow, RowOrigin } from './events.ts';
import type { Experience } from './experience.ts';

/** One row per completion. @param entropies per completion [T_i]; null where none was computed */
export function completionRows(
  { rollout: { groups }, judged, advantages: { advantages } }: Pick<Experience, 'rollout' | 'judged' | 'advantages'>,
  entropies: readonly (Float32Array | null)[],
): CompletionRow[] {
  const samples = groups.flatMap((group) => group.completions.map((completion) => ({ group, completion })));
  const origins = new Map(groups.map((group) => [group, originOf(group.prompt.row)]));
  return samples.map(({ group, completion }, i) => {
    const extras: Record<string, Json> = { length: completion.ids.length, truncated: completion.truncated };
    for (const [name, values] of judged.extras) extras[name] = values[i] ?? null;
    const entropy = entropies[i] ?? null;
    if (entropy !== null) extras.entropy = entropy.reduce((sum, h) => sum + h, 0) / Math.max(1, entropy.length);
    return {
      row: origins.get(group)!,
      prompt: group.prompt.text,
      completion: completion.text,
      rewards: Object.fromEntries(judged.columns.map(({ name, values }) => [name, values[i]!])),
      advantage: advantages[i]!,
      extras,
    };
  });
}

/** What readers are told of the row that a completion answers. */
export function originOf({ where, index, images, columns }: Row): RowOrigin {
  const { solution } = columns;
  return { source: where, index, images, ...(solution === undefined ? {} : { solution: toJson(solution) }) };
}
