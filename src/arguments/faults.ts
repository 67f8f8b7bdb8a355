/**
 * Collects what is wrong with the arguments, so that one run lists all of it.
 */
import { SightlineError } from '../errors.ts';

export interface Fault {
  /** Where: `--flag`, or a config file. */
  readonly at: string;
  readonly message: string;
  /** The next step, if the message does not say it already. */
  readonly fix?: string;
  /** Whether --ignore_unsupported would pass it over. */
  readonly isIgnorable?: boolean;
}

export class Faults {
  readonly #faults: Fault[] = [];

  add(at: string, message: string, fix?: string, isIgnorable = false): void {
    this.#faults.push({ at, message, fix, isIgnorable });
  }

  /** Whether this flag has a fault already; checks that involve it would only repeat it. */
  has(flag: string): boolean {
    return this.#faults.some((fault) => fault.at === `--${flag}`);
  }

  /**
   * A check across flags, at the first of them; skipped when one of them is wrong by itself.
   */
  check(flags: readonly [string, ...string[]], holds: boolean, message: string, fix?: string): void {
    if (!holds && !flags.some((flag) => this.has(flag))) this.add(`--${flags[0]}`, message, fix);
  }

  /** Throws E_ARGUMENTS with every fault, exit code 2; returns when there is none. */
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
      hint: isIgnorable ? `--ignore_unsupported true goes on without flags that only ms-swift has; ${help}` : help,
    });
  }
}

// --- internal ---

const GO_ON = 'go on without it: --ignore_unsupported true';
