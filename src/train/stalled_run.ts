/**
 * Warns about a stalled run: consecutive steps in which loss, reward deviation and gradient are all 0. Names the likely cause
 * as far as rewards and completions show it. Knows numbers and flags; changes nothing.
 */
import { ZERO_STD } from '../grpo/statistics.ts';
import type { Experience } from './experience.ts';

/** Warns after this many consecutive steps, and again whenever the number has doubled. */
const PATIENCE = 12;

/** A rollout that a step learned from. */
export type Lesson = Pick<Experience, 'rollout' | 'judged' | 'advantages'>;

export interface StandstillWatch {
  /** Returns a warning about the steps up to this one if one is due; null otherwise. */
  observe(
    step: { readonly step: number; readonly loss: number; readonly gradNorm: number },
    lessons: Iterable<Lesson>,
  ): string | null;
}

export interface StandstillFlags {
  readonly maxCompletionLength: number;
  readonly temperature: number;
}

export function createStandstillWatch(flags: StandstillFlags): StandstillWatch {
  let steps = 0;
  let seen = newSeen();
  let counted = new WeakSet<Lesson>(); // a rollout may serve several steps
  return {
    observe({ step, loss, gradNorm }, lessons) {
      const learned = [...lessons];
      const still =
        loss === 0 && gradNorm === 0 && learned.every(({ advantages }) => advantages.groupStd.every(isNoDeviation));
      if (!still) {
        steps = 0;
        seen = newSeen();
        counted = new WeakSet();
        return null;
      }
      steps++;
      for (const lesson of learned) {
        if (!counted.has(lesson)) count(lesson, seen);
        counted.add(lesson);
      }
      if (!isWarningDue(steps)) return null;
      const { facts, cause } = diagnose(seen, flags);
      return `steps ${step - steps + 1} to ${step}: loss, reward deviation and gradient are all 0, so nothing is learned: all completions of a prompt get the same reward. ${facts}. Likely cause: ${cause}.`;
    },
  };
}

// --- internal ---

const isNoDeviation = (std: number): boolean => std <= ZERO_STD;
const isWarningDue = (steps: number): boolean => steps >= PATIENCE && Number.isInteger(Math.log2(steps / PATIENCE));

/** The values of one reward over the stalled steps. */
interface SeenReward {
  readonly weight: number;
  least: number;
  greatest: number;
  nulls: number;
  /** Whether any two completions of one prompt got different values. */
  differs: boolean;
}

interface Seen {
  completions: number;
  prompts: number;
  cutOff: number;
  /** Number of prompts whose completions are all identical. */
  alike: number;
  /** Number of completions without a weighted sum of rewards. */
  withoutTotal: number;
  readonly rewards: Map<string, SeenReward>;
}

const newSeen = (): Seen => ({
  completions: 0,
  prompts: 0,
  cutOff: 0,
  alike: 0,
  withoutTotal: 0,
  rewards: new Map(),
});

function count({ rollout: { groups }, judged: { columns, totals } }: Lesson, seen: Seen): void {
  seen.prompts += groups.length;
  seen.withoutTotal += totals.filter((total) => total === null).length;
  let first = 0;
  for (const { completions } of groups) {
    const size = completions.length;
    seen.completions += size;
    seen.cutOff += completions.filter(({ truncated }) => truncated).length;
    if (new Set(completions.map(({ ids }) => ids.join(' '))).size === 1) seen.alike++;
    for (const { label, weight, values } of columns) {
      const reward = seen.rewards.get(label) ?? {
        weight,
        least: Number.POSITIVE_INFINITY,
        greatest: Number.NEGATIVE_INFINITY,
        nulls: 0,
        differs: false,
      };
      seen.rewards.set(label, reward);
      const group = values.slice(first, first + size);
      const numbers = group.filter((value) => value !== null);
      reward.nulls += size - numbers.length;
      reward.differs ||= new Set(numbers).size > 1;
      for (const value of numbers) {
        reward.least = Math.min(reward.least, value);
        reward.greatest = Math.max(reward.greatest, value);
      }
    }
    first += size;
  }
}

/** Summarises the numbers and names the likely cause. The checks go from the most to the least specific cause. */
function diagnose(seen: Seen, { maxCompletionLength, temperature }: StandstillFlags): { facts: string; cause: string } {
  const rewards = [...seen.rewards];
  const share = seen.cutOff / seen.completions;
  const facts = [
    ...rewards.map(([label, reward]) => `${label} ${valuesOf(reward, seen.completions)}`),
    `${percent(share)} of ${seen.completions} completions cut off at ${maxCompletionLength} tokens`,
  ].join(', ');
  const cause = ((): string => {
    if (seen.withoutTotal === seen.completions) {
      return 'no completion has a reward, because rewards are null for all of them; check the columns and images of the dataset, and what the rewards need';
    }
    if (rewards.some(([, { differs }]) => differs)) {
      return 'single rewards differ, but their weighted sums do not; check --reward_weights';
    }
    if (seen.alike === seen.prompts) {
      return `all completions of a prompt are identical at --temperature ${temperature}; raise it, or relax --top_k and --top_p; if the model has lost its variety, start again from an earlier checkpoint`;
    }
    const active = rewards.filter(([, { weight, nulls }]) => weight !== 0 && nulls < seen.completions);
    const fails = active.some(([, { greatest }]) => greatest <= 0);
    if (share >= MOSTLY && fails) {
      return 'completions are cut off before the part that the rewards look for; raise --max_completion_length, or ask for shorter answers in --system';
    }
    return active.map(([label, reward]) => causeIn(label, reward)).join('; ') || 'all --reward_weights are 0';
  })();
  return { facts, cause };
}

/** From this share of truncated completions on, truncation counts as the cause. */
const MOSTLY = 0.9;

const percent = (share: number): string => `${Math.round(share * 100)}%`;
const brief = (value: number): string => String(Number(value.toPrecision(4)));

function valuesOf({ least, greatest, nulls }: SeenReward, completions: number): string {
  if (nulls === completions) return 'null for all';
  const values = least === greatest ? brief(least) : `between ${brief(least)} and ${brief(greatest)}`;
  return nulls === 0 ? `${values} for all` : `${values} or null`;
}

function causeIn(label: string, { least, greatest }: SeenReward): string {
  if (least !== greatest) {
    return `${label} differs only between prompts: each prompt is too easy or too hard for the model, or the reward depends on the row and not on the completion`;
  }
  if (least === 0) {
    return `${label} is always 0: the rows are too hard (use easier ones, or train with sft first), or the reward does not find the answer (look at completions.jsonl)`;
  }
  if (least === 1) {
    return `${label} is always 1: the rows are too easy (use harder ones), or the reward does not depend on the completion`;
  }
  return `${label} is always ${brief(least)}: the reward does not depend on the completion`;
}
