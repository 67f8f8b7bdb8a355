/**
 * What the server sends to the page, as types. The page imports nothing else of `src`.
 */
import type { Json } from '../util/json.ts';

/** A run as the list of runs shows it. */
export interface RunSummary {
  /** Stable while the folder keeps its path. */
  readonly id: string;
  /** Path below the folder that was given to the command, or the folder's own name. */
  readonly name: string;
  readonly kind: 'sightline' | 'ms-swift' | 'unknown';
  /** `finished` if the log has its last record; `live` if a file has grown within the last minutes; else `stopped`. */
  readonly state: 'live' | 'finished' | 'stopped' | 'gone';
  /** Modification time of the newest log file, in milliseconds; null without one. */
  readonly changedAt: number | null;
  readonly step: number | null;
  readonly maxSteps: number | null;
  readonly model: string | null;
  /** Names of logged numbers, in the order in which they first appear. */
  readonly metrics: readonly string[];
  readonly completions: number;
  readonly groups: number;
  /** Numeric columns of completions.jsonl, rewards first. */
  readonly columns: readonly Column[];
  /** Bytes of the two log files that have been read, and their size. Equal once everything is read. */
  readonly read: { readonly done: number; readonly total: number };
  readonly end: RunEnd | null;
  /** Lines of the log files that could not be read, with the reason. */
  readonly faults: readonly string[];
  /** Steps that have per-token attention. */
  readonly attentionSteps: readonly number[];
}

export interface Column {
  readonly name: string;
  readonly kind: 'reward' | 'advantage' | 'signal';
}

/** The last record of logging.jsonl. */
export interface RunEnd {
  /** Null for ms-swift, which does not log it. */
  readonly status: string | null;
  readonly lastCheckpoint: string | null;
  readonly bestCheckpoint: string | null;
  readonly bestMetric: number | null;
  /** Seconds of the whole run; null if not logged. */
  readonly runtime: number | null;
  /** Seconds by phase; empty for ms-swift, which does not log them. */
  readonly seconds: Readonly<Record<string, number>>;
}

/** The checkpoints in the folder of a run, the newest first. */
export interface Checkpoints {
  /** Name of the evaluation by which they are compared; null if the run has logged none. */
  readonly metric: string | null;
  readonly checkpoints: readonly CheckpointPlace[];
}

export interface CheckpointPlace {
  /** Name of its folder. */
  readonly name: string;
  readonly step: number;
  /** In milliseconds. */
  readonly savedAt: number;
  /** The evaluation at its step; null if there was none. */
  readonly value: number | null;
  readonly isBest: boolean;
  readonly isLast: boolean;
}

/** One metric of one run, reduced to at most the points asked for. */
export interface Curve {
  readonly run: string;
  readonly metric: string;
  readonly steps: readonly number[];
  /** Null where a value is not finite. */
  readonly values: readonly (number | null)[];
  /** The debiased exponential average of all values up to the step. */
  readonly smooth: readonly (number | null)[];
  /** Number of logged values before reduction. */
  readonly logged: number;
}

/** Seconds of the parts of a step. */
export interface StepTimes {
  /** The first step of each bar. */
  readonly steps: readonly number[];
  /** Number of logged steps that a bar is the mean of. */
  readonly width: number;
  readonly parts: readonly {
    readonly name: string;
    /** The metric in the log; for the rest of a step, that of the whole step. */
    readonly metric: string;
    readonly values: readonly number[];
  }[];
}

/** Pearson correlation of one column with another one, over the completions of a step. */
export interface CorrelationCurve {
  readonly column: string;
  readonly steps: readonly number[];
  /** Null if fewer than three completions have both values, or one of them is constant. */
  readonly values: readonly (number | null)[];
}

/** The rows of a table of completions or groups. */
export interface RowList {
  readonly total: number;
  readonly offset: number;
  readonly rows: readonly ListedRow[];
  /** Rows of the run, filtered or not. */
  readonly all: number;
}

export interface ListedRow {
  /** Number of the group or of the completion. */
  readonly id: number;
  readonly group: number;
  readonly step: number;
  /** The question, shortened. */
  readonly prompt: string;
  /** The answer, shortened; empty for a group. */
  readonly answer: string;
  readonly size: number;
  /** Means of a group, or values of a completion, in the order of `RunSummary.columns`. */
  readonly values: readonly (number | null)[];
  /** Number of completions with the mark. */
  readonly marks: Marks;
}

export interface Marks {
  readonly clipped: number;
  /** Completions for which at least one reward is null. */
  readonly unjudged: number;
  /** 1 if all rewards of the group are the same, so that it teaches nothing. */
  readonly flat: number;
}

export interface Group {
  readonly id: number;
  readonly step: number;
  readonly prompt: string;
  readonly question: string;
  readonly solution: string | null;
  /** file:line of the row in the dataset; null if the log does not say. */
  readonly source: string | null;
  readonly images: readonly ImagePlace[];
  readonly completions: readonly Completion[];
  /** Groups of the same prompt, in the order of steps, this one included. */
  readonly history: readonly { readonly id: number; readonly step: number; readonly reward: number | null }[];
  /** Place of the group among all groups. */
  readonly total: number;
}

/** An image of a prompt: an address to load it from, or the reason why there is none. */
export type ImagePlace =
  | { readonly url: string; readonly name: string }
  | { readonly reason: string; readonly name: string };

export interface Completion {
  readonly id: number;
  readonly text: string;
  /** The extracted answer; the whole text if it has none. */
  readonly answer: string;
  /** Why the answer is not the target, as far as texts can tell; null if it is, or without a target. */
  readonly fault: string | null;
  /** Whether the length limit ended it; null if the log does not say. */
  readonly clipped: boolean | null;
  readonly values: readonly (number | null)[];
  /** Further columns, as logged. */
  readonly more: Readonly<Record<string, Json>>;
  readonly hasAttention: boolean;
}

/** Per-token attention of one completion; the numbers come as one block of half-precision values from `url`. */
export interface AttentionHead {
  readonly tokens: readonly string[];
  /** Decoder layers, counted from 0. */
  readonly layers: readonly number[];
  /** Rows and columns of each image's tokens. */
  readonly grids: readonly (readonly [number, number])[];
  /** Names of the numbers per token that follow the maps: visual_share, entropy, ... */
  readonly channels: readonly string[];
  readonly url: string;
}

/** A message of the stream of changes. */
export interface Change {
  /** Ids of runs whose data has grown. */
  readonly runs: readonly string[];
  /** Whether runs have come or gone. */
  readonly list: boolean;
}
