/**
 * What a training run says about itself: plain, serialisable events, and the interface of those who listen.
 * Knows nothing of files, terminals or dashboards; the loop emits and never asks who hears it.
 */
import type { ImageSource } from '../data/image_source.ts';
import type { Json } from '../util/json.ts';

/** Metrics by name, in the field's snake_case names (`reward`, `rewards/DDAPOAttentionORM/mean`, `grad_norm`, …). */
export type Metrics = Readonly<Record<string, number>>;

/** Sizes a reader wants before the first step. */
export interface ModelSummary {
  readonly dir: string;
  readonly architecture: string;
  /** Number of parameters, and how many of them are trained. */
  readonly parameters: number;
  readonly trainable: number;
  /** What is not as its files say or as is usual, in sentences. */
  readonly notes?: readonly string[];
}

export interface DataSummary {
  /** Rows kept for training. */
  readonly rows: number;
  /** Rows kept for evaluation; 0 without one. */
  readonly evalRows: number;
  /** Rows left out, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
  /** What there is to say of single rows, most of them left out; grows while rows are read, and the journal tells it. */
  readonly leftOut?: readonly string[];
}

/** Parts of a run, in the order in which they come. */
export type Phase =
  | 'check data'
  | 'open model'
  | 'data'
  | 'rollout'
  | 'forward'
  | 'reference'
  | 'reward'
  | 'backward'
  | 'update'
  | 'eval'
  | 'save';

/** How far a phase has come, as far as it can be counted. */
export interface PhaseProgress {
  /** Tokens sampled since the phase began. */
  readonly tokens?: number;
  /** Parts done, of how many. */
  readonly done?: number;
  readonly total?: number;
}

/** A phase begins (nothing of it is done then), or has come further: then at most a few times a second. */
export interface PhaseEvent extends PhaseProgress {
  readonly type: 'phase';
  readonly phase: Phase;
  readonly begins: boolean;
}

/** Weights are being read, before `start`: comes first with nothing done, a few times a second, and when all is done. */
export interface LoadingEvent {
  readonly type: 'loading';
  /** Whose weights: `model`, or `reference` for a copy that is not trained. */
  readonly part: 'model' | 'reference';
  readonly dir: string;
  /** Bytes, as they are stored. */
  readonly done: number;
  readonly total: number;
}

/** Where a reader finds a signal of a reward among the metrics. */
export interface ShownSignal {
  readonly label: string;
  /** Its mean. */
  readonly metric: string;
  /** What the names of its correlations begin with. */
  readonly correlation: string;
}

/** Model and data are loaded; the first step comes next. */
export interface StartEvent {
  readonly type: 'start';
  readonly command: string;
  /** Resolved arguments whose value is not the default, by flag name. */
  readonly changed: Readonly<Record<string, Json>>;
  readonly model: ModelSummary;
  readonly data: DataSummary;
  readonly outputDir: string;
  /** Steps already done (0, or where a resumed run goes on) and the step the run ends at. */
  readonly step: number;
  readonly maxSteps: number;
  /** What rewards know of completions beside their values; absent: nothing. */
  readonly signals?: readonly ShownSignal[];
  /** How often the whole run will do what is not part of a step. */
  readonly planned?: { readonly eval: number; readonly save: number };
  /** The run is only rehearsed: nothing is written. */
  readonly dryRun?: boolean;
}

/** One optimiser step is done. Comes at every step, for progress displays; records are made of `log`. */
export interface ProgressEvent {
  readonly type: 'progress';
  readonly step: number;
  readonly maxSteps: number;
  readonly epoch: number;
}

/** Metrics averaged over the steps since the last log (every `logging_steps`). */
export interface LogEvent {
  readonly type: 'log';
  readonly step: number;
  readonly maxSteps: number;
  /** Passes over the data so far, with its fraction. */
  readonly epoch: number;
  readonly metrics: Metrics;
}

/** The row of the dataset that a completion answers. */
export interface RowOrigin {
  /** file:line */
  readonly source: string;
  /** Position in the dataset, from 0. */
  readonly index: number;
  /** In the order of the prompt. Not read yet. */
  readonly images: readonly ImageSource[];
  /** Its column of that name, if there is one. */
  readonly solution?: Json;
}

/** One completion as it was sampled and judged. */
export interface CompletionRow {
  readonly row: RowOrigin;
  /** Rendered prompt text, image placeholders included. */
  readonly prompt: string;
  readonly completion: string;
  /** Score by reward name; `null`: the reward does not apply or could not be computed. */
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
}

/** A sentence for the reader; `debug` lines carry their own prefix. */
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

/** An evaluation is done; names without the `eval_` prefix. */
export interface EvalEvent {
  readonly type: 'eval';
  readonly step: number;
  readonly maxSteps: number;
  readonly epoch: number;
  readonly metrics: Metrics;
}

/** The run is over, completely or because it was asked to stop. */
export interface EndEvent {
  readonly type: 'end';
  readonly status: 'completed' | 'interrupted';
  readonly step: number;
  readonly maxSteps: number;
  /** First and last logged metrics, and the evaluations before the first and after the last step. */
  readonly firstLog: Metrics | null;
  readonly lastLog: Metrics | null;
  readonly evalBefore: Metrics | null;
  readonly evalAfter: Metrics | null;
  readonly outputDir: string;
  /** Wall time in seconds by part (`rollout`, `reward`, `update`, `save`, …). */
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

/** Someone who wants to know: a file, a terminal, a dashboard. */
export interface Listener {
  onEvent(event: TrainEvent): void | Promise<void>;
  /** Called once when no more events come, also after a failed run. */
  close?(): void | Promise<void>;
}

/** Passes a note on as an event. */
export const noteTo =
  ({ emit }: Pick<RunContext, 'emit'>) =>
  (text: string): void =>
    void emit({ type: 'notice', level: 'info', text: `note: ${text}` });

/** How a run is told where to write, when to stop and whom to tell. */
export interface RunContext {
  /** Aborted by a signal, or an error that nobody awaits: finish or drop the step, save, emit `end`, return. */
  readonly signal: AbortSignal;
  readonly emit: (event: TrainEvent) => void | Promise<void>;
  /** Existing, empty folder of this run (`output/vN-<timestamp>`). */
  readonly outputDir: string;
  /** Arguments that are not at their default, for the `start` event. */
  readonly changed: Readonly<Record<string, Json>>;
}
