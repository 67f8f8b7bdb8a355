/**
 * Completions as readers see them: text, rewards, advantage, and what the rewards logged beside.
 */
import type { RolloutGroup } from '../grpo/rollout.ts';
import type { CompletionRow, Json } from './events.ts';
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
  return samples.map(({ group, completion }, i) => {
    const extras: Record<string, Json> = { length: completion.ids.length };
    for (const [name, values] of judged.extras) extras[name] = values[i] ?? null;
    const entropy = entropies[i] ?? null;
    if (entropy !== null) extras.entropy = entropy.reduce((sum, h) => sum + h, 0) / Math.max(1, entropy.length);
    return {
      prompt: group.prompt.text,
      completion: completion.text,
      rewards: Object.fromEntries(judged.columns.map(({ name, values }) => [name, values[i]!])),
      advantage: advantages[i]!,
      extras,
    };
  });
}
