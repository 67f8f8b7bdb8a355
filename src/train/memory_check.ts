/**
 * Compares what a run takes with what the machine has, before a weight is read: refuses what cannot fit, warns of what
 * hardly will. Knows parts and bytes; which flags lower them is told to it.
 */
import { SightlineError } from '../errors.ts';
import type { MachineMemory } from '../util/machine_memory.ts';
import { type MemoryPart, totalOf } from './memory_need.ts';

export interface MemoryAdvice {
  /** The checkpoint's folder. */
  readonly model: string;
  /** What lowers the least that the run takes, and what lowers the rest. */
  readonly lowerLeast: readonly string[];
  readonly lowerRest: readonly string[];
}

/**
 * A warning where the expected need is more than what is free; null where it fits.
 *
 * @throws SightlineError E_MEMORY where even the least that it needs is more than there is
 */
export function checkMemory(
  parts: readonly MemoryPart[],
  { most, limit, free }: MachineMemory,
  { model, lowerLeast, lowerRest }: MemoryAdvice,
): string | null {
  const { least, likely } = totalOf(parts);
  if (least > most) {
    throw new SightlineError(
      'E_MEMORY',
      `the run needs at least ${gib(least)} GiB of memory (${shown(parts, 'least')}), and ${limit} is ${gib(most)} GiB`,
      {
        where: `--model ${model}`,
        hint: `${[...lowerLeast, 'take a smaller model or a larger machine'].join('; or ')}; --check_memory false tries it all the same`,
      },
    );
  }
  if (likely <= free) return null;
  return (
    `the run takes about ${gib(likely)} GiB of memory (${shown(parts, 'likely')}), and ${gib(free)} GiB are free; ` +
    `to lower it: ${[...lowerRest, ...lowerLeast].join('; or ')}`
  );
}

// --- internal ---

const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(1);

/** The parts that matter, the largest first. */
function shown(parts: readonly MemoryPart[], kind: 'least' | 'likely'): string {
  const known = parts.filter((part) => part[kind] >= 0.05 * 2 ** 30).toSorted((a, b) => b[kind] - a[kind]);
  return known.map((part) => `${part.what} ${gib(part[kind])}`).join(', ');
}
