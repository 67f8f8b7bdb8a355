/**
 * The form of the tables of flags that ms-swift and transformers' Trainer have and no command here has.
 * Knows no flag by name.
 */

export interface PeerFlag {
  /**
   * `ignored`: the run and its files are as asked for without it; it is accepted, and a note says so.
   * `refused`: the run would not do what it asks for; it stops the run, unless its value turns the feature off.
   */
  readonly verdict: 'ignored' | 'refused';
  /** Why it has no effect, or what to do instead. */
  readonly text: string;
}

export interface PeerTable {
  /** Names by the reason why they have no effect. */
  readonly ignored: Readonly<Record<string, readonly string[]>>;
  /** Names by what to do instead. */
  readonly refused: Readonly<Record<string, readonly string[]>>;
  /**
   * For refused flags: values that change nothing, in addition to false and none. If true is listed, false is not neutral.
   */
  readonly neutral: Readonly<Record<string, readonly string[]>>;
}

/** Advice for features without a substitute. */
export const NOT_BUILT = 'not supported; leave it out';
