/**
 * A reward of a run: an instance with its names, weight and needs.
 */
import type { ORM, RewardNeed, RewardSignal } from './contract.ts';

export interface Reward {
  /** Name in `--reward_funcs`; also its column in completions.jsonl. */
  readonly name: string;
  /** Class name, as in `rewards/<label>/mean`; equal to `name` if another reward's class has the same name. */
  readonly label: string;
  readonly orm: ORM;
  readonly weight: number;
  readonly needs: readonly RewardNeed[];
  /** Columns of the dataset that it requires; absent: none. */
  readonly columns?: readonly string[];
  /** Numbers per completion that it logs beside its values; absent: none. */
  readonly signals?: readonly RewardSignal[];
  /** The plugin file that registered it; undefined if it is built in. */
  readonly file: string | undefined;
}
