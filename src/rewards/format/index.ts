/**
 * Reward `format`: 1 if the whole completion is a think block, optional white space and an answer block, else 0.
 * Knows the tags, not the text between them.
 */
import type { ORM } from '../contract.ts';

// Lazy, as in ms-swift: the first </think> followed by <answer> ends the think block. Nothing may follow the last </answer>.
const pattern = /^<think>[\s\S]*?<\/think>\s*<answer>[\s\S]*?<\/answer>(?![\s\S])/;

/** ms-swift's `Format` (swift/rewards/orm.py); logged as `rewards/Format/mean`. */
export class Format implements ORM {
  call(completions: readonly string[]): number[] {
    return completions.map((text) => (pattern.test(text) ? 1 : 0));
  }
}
