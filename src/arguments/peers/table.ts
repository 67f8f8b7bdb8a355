/**
 * How the flags of ms-swift and of transformers' Trainer that no command has are listed: by what is said of them.
 * Knows no flag by name.
 */

export interface PeerFlag {
  /**
   * `ignored`: without it the run and its files are what was asked for; taken, and told in one line.
   * `refused`: it asks for something else than the run would do; stops the run, unless its value asks for nothing.
   */
  readonly verdict: 'ignored' | 'refused';
  /** Why it has no meaning here, or what to do instead. */
  readonly text: string;
}

export interface PeerTable {
  /** Why -> names. */
  readonly ignored: Readonly<Record<string, readonly string[]>>;
  /** What to do instead -> names. */
  readonly refused: Readonly<Record<string, readonly string[]>>;
  /**
   * Values of refused flags that ask for nothing, beside false and none. Where true is one of them, false is not: it asks to
   * leave something out.
   */
  readonly neutral: Readonly<Record<string, readonly string[]>>;
}

/** Advice where there is no other way to the same end. */
export const NOT_BUILT = 'not built; leave it out';
