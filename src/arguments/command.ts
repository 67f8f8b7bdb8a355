/**
 * A command as data: its name, help texts and flags.
 */
import type { Flags } from './flag.ts';

export interface CommandSpec<F extends Flags = Flags> {
  readonly name: string;
  /** One line for the list of commands, without a full stop. */
  readonly summary: string;
  readonly usage: string;
  readonly flags: F;
  /** Command lines to copy. */
  readonly examples: readonly string[];
  /** Paragraphs below the flags. */
  readonly notes: readonly string[];
}
