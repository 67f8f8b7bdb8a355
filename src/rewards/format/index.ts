/**
 * Reward `format`: 1 if the whole completion is a think block, blanks, and an answer block, else 0.
 * Knows the tags, not what stands between them.
 */
import type { ORM } from '../contract.ts';

// Lazy, as in ms-swift: the first </think> that an <answer> follows ends the block, and nothing may follow </answer>.
const pattern = /^<think>[\s\S]*?<\/think>\s*<answer>[\s\S]*?<\/answer>(?![\s\S])/;

/** ms-swift's `Format` (swift/rewards/orm.py); logged as `rewards/Format/mean`. */
export class Format implements ORM {
  call(completions: readonly string[]): number[] {
    return completions.map((text) => (pattern.test(text) ? 1 : 0));
  }
}
