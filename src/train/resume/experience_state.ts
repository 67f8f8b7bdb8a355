/**
 * Experience that later steps still learn from, and completions that wait for the next log, as plain data and back.
 * A prompt is saved as the number of its row: it is encoded again.
 */
import type { Row } from '../../data/row.ts';
import type { GroupAdvantages } from '../../grpo/advantages.ts';
import type { Completion, RolloutPrompt } from '../../grpo/rollout.ts';
import type { RewardColumn } from '../../rewards/run.ts';
import type { Json } from '../../util/json.ts';
import { originOf } from '../completions.ts';
import type { CompletionRow } from '../events.ts';
import type { Experience } from '../experience.ts';

export interface ExperienceState {
  readonly groups: readonly {
    /** Position of the row in the dataset. */
    readonly row: number;
    readonly completions: readonly Pick<Completion, 'ids' | 'text' | 'truncated' | 'entropies' | 'sampledLogps'>[];
  }[];
  readonly judged: {
    readonly columns: readonly RewardColumn[];
    readonly totals: readonly (number | null)[];
    readonly metrics: Readonly<Record<string, number>>;
    readonly extras: readonly (readonly [string, readonly Json[]])[];
  };
  readonly advantages: GroupAdvantages;
  readonly oldLogps: readonly Float32Array[] | null;
  readonly refLogps: readonly Float32Array[] | null;
  readonly changedLogps: readonly (Float32Array | null)[] | null;
  readonly tokenWeights: readonly Float32Array[] | null;
}

/**
 * An experience without its tape, which is spent. Of its scores it has those that the loss compares with, and the entropies by
 * which `--top_entropy_quantile` picks tokens.
 *
 * @param corrects learning compares with the log-probabilities of sampling
 */
export function experienceState({ rollout, judged, ...rest }: Experience, corrects: boolean): ExperienceState {
  return {
    groups: rollout.groups.map(({ prompt, completions }) => ({
      row: prompt.row.index,
      completions: completions.map(({ ids, text, truncated, entropies, sampledLogps }) => ({
        ...{ ids, text, truncated },
        ...(entropies === undefined ? {} : { entropies }),
        ...(corrects && sampledLogps !== undefined ? { sampledLogps } : {}),
      })),
    })),
    judged: { ...judged, extras: [...judged.extras] },
    ...rest,
  };
}

/**
 * @param rowAt reads a row of the dataset by its position
 * Errors: those of `rowAt` and `encode`.
 */
export async function experienceFrom(
  { groups, judged, ...rest }: ExperienceState,
  rowAt: (index: number) => Promise<Row>,
  encode: (row: Row) => Promise<RolloutPrompt>,
): Promise<Experience> {
  const restored = [];
  for (const { row, completions } of groups) restored.push({ prompt: await encode(await rowAt(row)), completions });
  return {
    rollout: { groups: restored, tape: null },
    judged: { ...judged, extras: new Map(judged.extras) },
    ...rest,
  };
}

export interface CompletionRowState extends Omit<CompletionRow, 'row'> {
  /** Position of the row in the dataset. */
  readonly row: number;
}

export const completionRowState = ({ row, ...rest }: CompletionRow): CompletionRowState => ({
  ...rest,
  row: row.index,
});

/** Errors: those of `rowAt`. */
export async function completionRowFrom(
  { row, ...rest }: CompletionRowState,
  rowAt: (index: number) => Promise<Row>,
): Promise<CompletionRow> {
  return { ...rest, row: originOf(await rowAt(row)) };
}
