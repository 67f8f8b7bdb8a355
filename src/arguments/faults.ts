/**
 * Collects all faults of the arguments, so that one run reports every one of them.
 */
import { SightlineError } from '../errors.ts';

export interface Fault {
  /** `--flag`, or a config file. */
  readonly at: string;
  readonly message: string;
  /** The next step, if the message does not say it already. */
  readonly fix?: string;
  /** Whether --ignore_unsupported would ignore it. */
  readonly isIgnorable?: boolean;
}

export class Faults {
  readonly #faults: Fault[] = [];

  add(at: string, message: string, fix?: string, isIgnorable = false): void {
    this.#faults.push({ at, message, fix, isIgnorable });
  }

  /** Whether this flag already has a fault. Further checks that involve it would only repeat it. */
  has(flag: string): boolean {
    return this.#faults.some((fault) => fault.at === `--${flag}`);
  }

  /** Checks a condition across flags and reports it at the first of them. Skipped if one of them already has a fault. */
  check(flags: readonly [string, ...string[]], holds: boolean, message: string, fix?: string): void {
    if (!holds && !flags.some((flag) => this.has(flag))) this.add(`--${flags[0]}`, message, fix);
  }

  /** Throws E_ARGUMENTS (exit code 2) with every fault; returns if there are none. */
  throwIfAny(command: string): void {
    const [first, ...others] = this.#faults;
    if (first === undefined) return;
    const help = `sightline ${command} --help lists every flag`;
    const isIgnorable = this.#faults.some((fault) => fault.isIgnorable);
    if (others.length === 0) {
      const ways = [...(first.fix === undefined ? [] : [first.fix]), ...(isIgnorable ? [GO_ON] : [])];
      const hint = ways.length === 0 ? help : ways.join('; or ');
      throw new SightlineError('E_ARGUMENTS', first.message, { where: first.at, hint });
    }
    const lines = this.#faults.map(({ at, message, fix }) => {
      return `  ✖ ${fix === undefined ? message : `${message}; ${fix}`} → at ${at}`;
    });
    const message = [`${this.#faults.length} arguments of sightline ${command} are wrong`, ...lines].join('\n');
    throw new SightlineError('E_ARGUMENTS', message, {
      hint: isIgnorable ? `--ignore_unsupported true ignores flags that only ms-swift has; ${help}` : help,
    });
  }
}

// --- internal ---

const GO_ON = 'use --ignore_unsupported true to ignore it';
