/**
 * Events that a training run emits, as plain, serialisable data, and the interface of listeners.
 * Knows nothing of files, terminals or dashboards.
 */
import type { CompletionAttention } from '../attention_log/writer.ts';
import type { ImageSource } from '../data/image_source.ts';
import type { Json } from '../util/json.ts';
import type { ResumePoint } from './resume/find.ts';

/** Metrics by their usual snake_case names (`reward`, `rewards/DDAPOAttentionORM/mean`, `grad_norm`, …). */
export type Metrics = Readonly<Record<string, number>>;

/** What is shown of the model before the first step. */
export interface ModelSummary {
  readonly dir: string;
  readonly architecture: string;
  /** Number of parameters. */
  readonly parameters: number;
  /** Number of trained parameters. */
  readonly trainable: number;
  /** Sentences about anything unusual in the checkpoint. */
  readonly notes?: readonly string[];
}

export interface DataSummary {
  /** Rows kept for training. */
  readonly rows: number;
  /** Rows kept for evaluation; 0 if there is none. */
  readonly evalRows: number;
  /** Number of rows left out, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
  /** Sentences about single rows, most of them left out. The list grows while rows are read; the journal emits them. */
  readonly leftOut?: readonly string[];
}

/** Parts of a run, in order. */
export type Phase =
  | 'check data'
  | 'open model'
  | 'data'
  | 'rollout'
  | 'forward'
  | 'reference'
  | 'changed image'
  | 'attention'
  | 'reward'
  | 'backward'
  | 'update'
  | 'eval'
  | 'save';

/** Progress within a phase, if it can be counted. */
export interface PhaseProgress {
  /** Tokens sampled since the phase began. */
  readonly tokens?: number;
  /** Parts done. */
  readonly done?: number;
  /** Parts in all. */
  readonly total?: number;
}

/** A phase begins or has made progress. Progress is emitted at most a few times a second. */
export interface PhaseEvent extends PhaseProgress {
  readonly type: 'phase';
  readonly phase: Phase;
  readonly begins: boolean;
}

/** Weights are being read, before `start`. Emitted at the beginning, a few times a second, and at the end. */
export interface LoadingEvent {
  readonly type: 'loading';
  /** `reference` is the copy that is not trained. */
  readonly part: 'model' | 'reference';
  readonly dir: string;
  /** Stored bytes read so far. */
  readonly done: number;
  /** Stored bytes in all. */
  readonly total: number;
}

/** Names of the metrics of a reward's signal. */
export interface ShownSignal {
  readonly label: string;
  /** The metric with its mean. */
  readonly metric: string;
  /** Prefix of the metrics with its correlations. */
  readonly correlation: string;
}

/** Model and data are loaded; the first step comes next. */
export interface StartEvent {
  readonly type: 'start';
  readonly command: string;
  /** Resolved arguments that differ from the default, by flag name. */
  readonly changed: Readonly<Record<string, Json>>;
  readonly model: ModelSummary;
  readonly data: DataSummary;
  readonly outputDir: string;
  /** Steps already done; 0 unless the run is resumed. */
  readonly step: number;
  /** The checkpoint that the run continues from; absent for a new run. */
  readonly resumedFrom?: string | undefined;
  /** The step at which the run ends. */
  readonly maxSteps: number;
  /** Signals that rewards report beside their values; absent if there are none. */
  readonly signals?: readonly ShownSignal[];
  /** Number of evaluations and saves in the whole run. */
  readonly planned?: { readonly eval: number; readonly save: number };
  /** True for a dry run, which writes nothing. */
  readonly dryRun?: boolean;
}

/** Of a device with memory of its own. */
export interface DeviceMemory {
  /** Most bytes that the run has held on it so far; absent or null: it runs in the memory of the process. */
  readonly deviceMemory?: number | null;
}

/** One optimiser step is done. Emitted after every step, for progress displays; log records come from `log` events. */
export interface ProgressEvent {
  readonly type: 'progress';
  readonly step: number;
  readonly maxSteps: number;
  readonly epoch: number;
}

/** Metrics averaged over the steps since the last log (every `logging_steps`). */
export interface LogEvent extends DeviceMemory {
  readonly type: 'log';
  readonly step: number;
  readonly maxSteps: number;
  /** Passes over the data so far, including the fraction of the current one. */
  readonly epoch: number;
  readonly metrics: Metrics;
}

/** The row of the dataset that a completion answers. */
export interface RowOrigin {
  /** file:line */
  readonly source: string;
  /** Position in the dataset, from 0. */
  readonly index: number;
  /** The prompt's images in order. Not read yet. */
  readonly images: readonly ImageSource[];
  /** The column `solution`, if the row has one. */
  readonly solution?: Json;
}

/** One completion as it was sampled and judged. */
export interface CompletionRow {
  readonly row: RowOrigin;
  /** The rendered prompt, including image placeholders. */
  readonly prompt: string;
  readonly completion: string;
  /** Value by reward name; null if the reward does not apply or could not be computed. */
  readonly rewards: Readonly<Record<string, number | null>>;
  readonly advantage: number;
  /** Further columns: `entropy`, `length`, and those that rewards log. */
  readonly extras: Readonly<Record<string, Json>>;
}

/** The completions since the last log (only with `log_completions`). */
export interface CompletionsEvent {
  readonly type: 'completions';
  readonly step: number;
  readonly rows: readonly CompletionRow[];
  /** Per-token attention of some of the rows; null at steps that log none. */
  readonly attention?: LoggedAttention | null;
}

export interface LoggedAttention {
  /** Counted from 0. */
  readonly layers: readonly number[];
  readonly completions: readonly CompletionAttention[];
}

/** A sentence for the user. The text of a `debug` notice contains its own prefix. */
export interface NoticeEvent {
  readonly type: 'notice';
  readonly level: 'debug' | 'info' | 'warn';
  readonly text: string;
}

/** A checkpoint is complete on disk. */
export interface CheckpointEvent {
  readonly type: 'checkpoint';
  readonly step: number;
  readonly dir: string;
}

/** An evaluation is done. Its metrics have no `eval_` prefix. */
export interface EvalEvent {
  readonly type: 'eval';
  readonly step: number;
  readonly maxSteps: number;
  readonly epoch: number;
  readonly metrics: Metrics;
}

/** The run has ended, either completed or interrupted. */
export interface EndEvent extends DeviceMemory {
  readonly type: 'end';
  readonly status: 'completed' | 'interrupted';
  readonly step: number;
  readonly maxSteps: number;
  /** Metrics of the first and the last log record. */
  readonly firstLog: Metrics | null;
  readonly lastLog: Metrics | null;
  /** Evaluations before the first step and after the last one. */
  readonly evalBefore: Metrics | null;
  readonly evalAfter: Metrics | null;
  readonly outputDir: string;
  /** Wall time in seconds by phase (`rollout`, `reward`, `update`, `save`, …). */
  readonly seconds: Readonly<Record<string, number>>;
  readonly lastCheckpoint: string | null;
  readonly bestCheckpoint: string | null;
  readonly bestMetric: number | null;
}

export type TrainEvent =
  | LoadingEvent
  | StartEvent
  | PhaseEvent
  | ProgressEvent
  | LogEvent
  | CompletionsEvent
  | NoticeEvent
  | CheckpointEvent
  | EvalEvent
  | EndEvent;

/** Receives events, for instance to write a file or a terminal. */
export interface Listener {
  onEvent(event: TrainEvent): void | Promise<void>;
  /** Called once after the last event, also after a failed run. */
  close?(): void | Promise<void>;
}

/** Returns a function that emits a note as a `notice` event. */
export const noteTo =
  ({ emit }: Pick<RunContext, 'emit'>) =>
  (text: string): void =>
    void emit({ type: 'notice', level: 'info', text: `note: ${text}` });

/** What a run gets from its caller. */
export interface RunContext {
  /** Aborted by SIGINT, SIGTERM or an unhandled rejection. The run then drops the current step, saves, emits `end` and returns. */
  readonly signal: AbortSignal;
  readonly emit: (event: TrainEvent) => void | Promise<void>;
  /** Existing folder of this run (`output/vN-<timestamp>`); empty unless the run is resumed. */
  readonly outputDir: string;
  /** Arguments that differ from their default, for the `start` event. */
  readonly changed: Readonly<Record<string, Json>>;
  /** The checkpoint that the run continues from; absent or null for a new run. */
  readonly resume?: ResumePoint | null;
}
