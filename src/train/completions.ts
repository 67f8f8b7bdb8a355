/**
 * Completions as readers see them: the row they answer, text, rewards, advantage, and what the rewards logged beside.
 */
import type { RolloutGroup } from '../grpo/rollout.ts';
import { type Json, toJson } from '../util/json.ts';
import type { CompletionRow, RowOrigin } from './events.ts';
import type { Judged } from './judge.ts';

/** Per-completion arrays in the order of the groups. */
export function completionRows({
  groups,
  judged,
  advantages: { advantages },
  entropies,
}: {
  readonly groups: readonly RolloutGroup[];
  readonly judged: Judged;
  readonly advantages: { readonly advantages: Float64Array };
  /** Of each token; null where no forward gave them. */
  readonly entropies: readonly (Float32Array | null)[];
}): CompletionRow[] {
  const samples = groups.flatMap((group) => group.completions.map((completion) => ({ group, completion })));
  const origins = new Map(groups.map((group) => [group, originOf(group)]));
  return samples.map(({ group, completion }, i) => {
    const extras: Record<string, Json> = { length: completion.ids.length };
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

// --- internal ---

function originOf({ row: { where, index, images, columns } }: RolloutGroup): RowOrigin {
  const { solution } = columns;
  return { source: where, index, images, ...(solution === undefined ? {} : { solution: toJson(solution) }) };
}
