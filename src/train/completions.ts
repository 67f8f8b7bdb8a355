/**
 * Completions as readers see them: text, rewards, advantage, and what the rewards logged beside.
 */
import type { RolloutGroup } from '../grpo/rollout.ts';
import type { CompletionRow, Json } from './events.ts';
import type { Judged } from './judge.ts';

export function completionRows(
  experience: {
    readonly groups: readonly RolloutGroup[];
    readonly judged: Judged;
    readonly entropies: readonly Float32Array[];
  },
  advantages: Float64Array,
): CompletionRow[] {
  const { groups, judged, entropies } = experience;
  const samples = groups.flatMap((group) => group.completions.map((completion) => ({ group, completion })));
  return samples.map(({ group, completion }, i) => {
    const extras: Record<string, Json> = { length: completion.ids.length };
    for (const [name, values] of judged.extras) extras[name] = values[i] ?? null;
    const entropy = entropies[i];
    if (entropy !== undefined) extras.entropy = entropy.reduce((sum, h) => sum + h, 0) / Math.max(1, entropy.length);
    return {
      prompt: group.prompt.text,
      completion: completion.text,
      rewards: Object.fromEntries(judged.columns.map(({ name, values }) => [name, values[i]!])),
      advantage: advantages[i]!,
      extras,
    };
  });
}
