/**
 * Compares a run's estimated memory with the machine's before weights are read. Refuses a run that cannot fit and warns about
 * one that probably does not. Knows parts and bytes; callers say which flags lower them.
 */
import { SightlineError } from '../errors.ts';
import type { MachineMemory } from '../util/machine_memory.ts';
import { type MemoryPart, totalOf } from './memory_need.ts';

export interface MemoryAdvice {
  /** The checkpoint's folder. */
  readonly model: string;
  /** Advice that lowers the minimum need of the run. */
  readonly lowerLeast: readonly string[];
  /** Advice that lowers only the rest of the expected need. */
  readonly lowerRest: readonly string[];
}

/** The memory that a device may take by `--device_memory`, as that of a machine. @param gib of the flag */
export const deviceMemory = (gib: number): Memory => ({
  ...{ most: gib * 2 ** 30, free: gib * 2 ** 30, limit: '--device_memory', of: 'device memory' },
});

/** Memory of the machine, or other memory, with its name for messages. */
export type Memory = MachineMemory & { readonly of?: string };

/**
 * Returns a warning if the expected need exceeds the free memory; null if it fits.
 *
 * Error: E_MEMORY if even the minimum need exceeds the machine's memory.
 */
export function checkMemory(
  parts: readonly MemoryPart[],
  { most, limit, free, of = 'memory' }: Memory,
  { model, lowerLeast, lowerRest }: MemoryAdvice,
): string | null {
  const { least, likely } = totalOf(parts);
  if (least > most) {
    throw new SightlineError(
      'E_MEMORY',
      `the run needs at least ${gib(least)} GiB of ${of} (${shown(parts, 'least')}), but ${limit} is ${gib(most)} GiB`,
      {
        where: `--model ${model}`,
        hint: `${[...lowerLeast, 'use a smaller model or a larger machine'].join('; or ')}; --check_memory false tries it anyway`,
      },
    );
  }
  if (likely <= free) return null;
  return (
    `the run needs about ${gib(likely)} GiB of ${of} (${shown(parts, 'likely')}), but only ${gib(free)} GiB are free; ` +
    `to lower it: ${[...lowerRest, ...lowerLeast].join('; or ')}`
  );
}

/** The parts of more than 0.05 GiB with their GiB, the largest first. */
export function shown(parts: readonly MemoryPart[], kind: 'least' | 'likely'): string {
  const known = parts.filter((part) => part[kind] >= 0.05 * 2 ** 30).toSorted((a, b) => b[kind] - a[kind]);
  return known.map((part) => `${part.what} ${gib(part[kind])}`).join(', ');
}

// --- internal ---

const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(1);
