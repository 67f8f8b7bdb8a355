/**
 * A reward as a run holds it: an instance with its names, weight and needs.
 */
import type { ORM, RewardNeed, RewardSignal } from './contract.ts';

/** A reward of this run. */
export interface Reward {
  /** As in `--reward_funcs`; also its column in completions.jsonl. */
  readonly name: string;
  /** Class name, as in `rewards/<label>/mean`; the name where another reward's class has the same. */
  readonly label: string;
  readonly orm: ORM;
  readonly weight: number;
  readonly needs: readonly RewardNeed[];
  /** Columns of the dataset it cannot do without; absent: none. */
  readonly columns?: readonly string[];
  /** What it knows of completions beside its values; absent: nothing. */
  readonly signals?: readonly RewardSignal[];
  /** Plugin file, if it comes from one. */
  readonly file: string | undefined;
}
