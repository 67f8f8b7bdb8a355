/**
 * Learning from experience: the loss of a step's micro-batches and its gradients. Updates nothing.
 */

import type { Dropout } from '../engine/dropout.ts';
import type { Group } from '../engine/groups.ts';
import type { MicroBatch } from '../grpo/batching.ts';
import { countStep, grpoLoss, type LossSums } from '../grpo/loss.ts';
import { type Collector, type Experience, entropiesOf, toGroup } from './experience.ts';

/**
 * Forward and backward of a step's micro-batches; gradients are left in their accumulators.
 *
 * @param dropoutOf of the inputs of adapters, in each micro-batch's forward
 */
export async function learn(
  microBatches: readonly MicroBatch[],
  experiences: ReadonlyMap<number, Experience>,
  { args, policy, journal, signal }: Pick<Collector, 'args' | 'policy' | 'journal' | 'signal'>,
  dropoutOf: (microBatch: number) => Dropout | null = () => null,
): Promise<{ loss: number; sums: LossSums[] }> {
  const { model } = policy;
  const parts = microBatches.map((microBatch) => partOf(microBatch, experiences.get(microBatch.rollout)!));
  const counts = countStep(parts.map(({ lengths }) => lengths));
  let loss = 0;
  const sums: LossSums[] = [];
  for (const [i, part] of parts.entries()) {
    signal.throwIfAborted();
    const { experience } = part;
    const at = parts.length === 1 ? {} : { done: i, total: parts.length };
    const scored =
      experience.scored ??
      (await journal.time(
        'forward',
        () => model.score(part.groups, { temperature: args.temperature, keep: true, dropout: dropoutOf(i) }),
        at,
      ));
    experience.scored = null; // its buffers are the next forward's
    const completions = scored.completions.flat();
    const entropies = entropiesOf(scored);
    for (const [k, which] of part.indices.entries()) experience.entropies[which] ??= entropies[k]!;
    const result = grpoLoss(
      {
        logps: completions.map(({ logps }) => logps),
        oldLogps: microBatches[i]!.onPolicy ? null : part.oldLogps,
        refLogps: part.refLogps,
        advantages: part.advantages,
      },
      args,
      counts,
    );
    loss += result.loss;
    sums.push(result.sums);
    await journal.time('backward', () => model.backward(scored.tape!, flatten(result.dLogps)), at);
  }
  return { loss, sums };
}

// --- internal ---

interface Part {
  readonly experience: Experience;
  readonly groups: readonly Group[];
  /** Its completions, counted within the rollout. */
  readonly indices: readonly number[];
  readonly lengths: readonly number[];
  readonly advantages: Float64Array;
  readonly oldLogps: readonly Float32Array[] | null;
  readonly refLogps: readonly Float32Array[] | null;
}

/** The completions of a micro-batch, cut out of its rollout. */
function partOf({ runs }: MicroBatch, experience: Experience): Part {
  const size = experience.groups[0]!.completions.length;
  const groups = runs.map(({ group, begin, end }): Group => {
    const whole = toGroup(experience.groups[group]!);
    return { ...whole, completions: whole.completions.slice(begin - group * size, end - group * size) };
  });
  const pick = <T>(values: readonly T[]): T[] => runs.flatMap(({ begin, end }) => values.slice(begin, end));
  return {
    experience,
    groups,
    indices: runs.flatMap(({ begin, end }) => Array.from({ length: end - begin }, (_, i) => begin + i)),
    lengths: groups.flatMap(({ completions }) => completions.map(({ length }) => length)),
    advantages: Float64Array.from(pick([...experience.advantages.advantages])),
    oldLogps: experience.oldLogps === null ? null : pick(experience.oldLogps),
    refLogps: experience.refLogps === null ? null : pick(experience.refLogps),
  };
}

function flatten(rows: readonly Float64Array[]): Float32Array {
  const flat = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0));
  let next = 0;
  for (const row of rows) {
    flat.set(row, next);
    next += row.length;
  }
  return flat;
}
