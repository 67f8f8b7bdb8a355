/**
 * What a reward is: a class whose `call` turns completions and their dataset columns into one number each (ms-swift's ORM).
 * Knows the arguments a reward may use; knows neither how they are made nor what a reward does with them.
 */
import type { AttnProbe } from '../attention/cross_check.ts';
import type { AttentionMasses } from '../attention/tdr.ts';
import type { NormBbox } from '../models/architecture.ts';
import type { ModelKwargs, PolicyModel } from '../models/types.ts';

export type { AttnProbe } from '../attention/cross_check.ts';
export type { AttentionMasses } from '../attention/tdr.ts';

/**
 * One value per completion. `null` (or undefined) means "does not apply": the sample is left out of this reward's
 * statistics and of the group's baseline. It is not 0, which is a verdict.
 */
export type RewardValues = readonly (number | null | undefined)[];

/** A reward, as one object per run. */
export interface ORM {
  /**
   * @param completions decoded text, one per sample; the samples of a prompt are consecutive, `num_generations` of them
   * @param kwargs every column of the dataset, and what `RewardKwargs` names, as arrays in the same order
   */
  call(completions: readonly string[], kwargs: RewardKwargs): RewardValues | Promise<RewardValues>;
}

/** Things the trainer only prepares if a reward says it needs them. */
export const REWARD_NEEDS = ['attention'] as const;
export type RewardNeed = (typeof REWARD_NEEDS)[number];

/**
 * The class put into `orms`. Its class name is the metric name, `rewards/<name>/mean`; where two rewards of a run have
 * classes of one name, the names they are registered under are.
 */
export interface OrmConstructor {
  new (args: RewardArgs): ORM;
  readonly name: string;
  readonly needs?: readonly RewardNeed[];
  /**
   * Columns of the dataset that it cannot do without, `static columns = ['solution']`. A dataset in which no row has one is
   * refused before anything is sampled; a row without a value is there as undefined or null, for `call` to answer with null.
   */
  readonly columns?: readonly string[];
  /**
   * Flags of `sightline rlhf` that are its own, by name: read from the command line, a config file or the environment, checked,
   * shown in --help and kept in args.json. Their values are among the arguments of the constructor.
   */
  readonly flags?: Readonly<Record<string, RewardFlag>>;
  /** Numbers per completion that it gives to `log_extra`, and that the run is to average, show and watch. */
  readonly signals?: readonly RewardSignal[];
}

/** A flag that a reward states: `{ kind: 'number', default: 1, min: 0, help: 'Value of a right place.' }`. */
export type RewardFlag = {
  /** One or two sentences for --help, ending with a full stop. */
  readonly help: string;
  /** Of the value: tokens, pixels, … */
  readonly unit?: string;
  /** What happens when it is left out, where the default is null. */
  readonly unset?: string;
  /** Environment variable that is read when neither the command line nor a config file gives a value. */
  readonly env?: string;
} & (
  | { readonly kind: 'boolean'; readonly default: boolean | null }
  | {
      readonly kind: 'number';
      readonly default: number | null;
      readonly integer?: boolean;
      readonly min?: number;
      readonly max?: number;
      /** Exclusive bounds. */
      readonly above?: number;
      readonly below?: number;
    }
  | { readonly kind: 'text'; readonly default: string | null }
  | { readonly kind: 'choice'; readonly choices: readonly string[]; readonly default: string | null }
);

/** A column that a reward logs, as the run's own business: `{ column: 'tdr', metric: 'attention/tdr' }`. */
export interface RewardSignal {
  /** As in `log_extra(column, values)`, one number or null per completion; also its name in the lines of a run. */
  readonly column: string;
  /** `<metric>_mean` and `<metric>_std` are logged, in training and over all of an evaluation; the mean is shown. */
  readonly metric: string;
  /**
   * For a signal that the reward pays for. Its correlation with every other reward inside the groups is logged, as
   * `attention/corr_tdr_<label>` of `attention/tdr`. Where it turns against what is paid for, the reward may be being
   * hacked: a warning is printed, once.
   */
  readonly watch?: {
    readonly pays: 'low' | 'high';
    /** What it means for completions then, as a clause: `completions that look at the picture less now score better`. */
    readonly turned: string;
  };
}

/** The run's arguments by flag name, and over them this reward's own options. */
export interface RewardArgs {
  readonly [flag: string]: unknown;
}

export interface TrainerState {
  readonly global_step: number;
  readonly max_steps: number;
  readonly [key: string]: unknown;
}

/** A sample's picture as the model takes it. */
export interface RewardImage {
  /** (t*h*w, channels * temporal patch * patch * patch). */
  readonly pixelValues: Float32Array;
  /** t, h, w in patches. */
  readonly gridThw: readonly [number, number, number];
  /** In pixels: the stored image, which `objects` of a row is about, and the resized one, in which boxes are written. */
  readonly size: {
    readonly stored: { readonly width: number; readonly height: number };
    readonly shown: { readonly width: number; readonly height: number };
  };
}

/** Entered before a forward and left after it, on success and on error. */
export interface ForwardContext {
  enter(): void | Promise<void>;
  exit(): void | Promise<void>;
}

/** What a reward may ask of the template. */
export interface RewardTemplate {
  /** The surroundings a forward of this template's inputs needs (ms-swift's name). */
  forward_context(model: PolicyModel, inputs: ModelKwargs): ForwardContext;
}

/** Where a reward says something to the reader of the run; lines reach the console and the log. */
export interface RewardLogger {
  debug(line: string): void;
  info(line: string): void;
  warn(line: string): void;
}

/**
 * Second argument of `call`. B samples; every array has B entries. Columns of the dataset (`solution`, ...) come under
 * their own names; a column that a row lacks is undefined at that row. Those that the reward states are always there. All data is the reward's own copy.
 */
export interface RewardKwargs {
  readonly [column: string]: unknown;
  readonly trainer_state: TrainerState;
  readonly num_generations: number;
  /** Prompt tokens with image pads expanded. */
  readonly prompt_ids: readonly ArrayLike<number>[];
  /** The ids that were sampled, with the end token if there is one; never re-encoded text. */
  readonly completion_ids: readonly ArrayLike<number>[];
  readonly messages: readonly unknown[];
  readonly images: readonly (readonly RewardImage[])[];
  /**
   * How the model writes boxes: `none`, in pixels of the resized image (`size.shown`), or `norm1000`, in thousandths of its
   * sides. Null where the trainer does not say.
   */
  readonly norm_bbox: NormBbox | null;
  /** Tokens of the system block at the start of each prompt. */
  readonly system_prefix: readonly number[];
  readonly image_token_id: number;
  readonly video_token_id: number;
  /** The policy, possibly inside wrappers: see `unwrapModel`. */
  readonly model: PolicyModel;
  /** Set by trainers that wrap the policy for their own ends and know how to undo it. */
  readonly accelerator?: { unwrap_model(model: unknown): unknown };
  readonly template: RewardTemplate;
  /** Where the attention of `needs: ['attention']` rewards comes from. */
  readonly attn_probe: AttnProbe;
  /** What the fused probe measured in the training forward; null where it did not run. */
  readonly attention_masses: readonly (AttentionMasses | null)[] | null;
  readonly logger: RewardLogger;
  /** Aborted when the answer is no longer awaited: the run ends, or `--reward_timeout` has passed. For fetch and the like. */
  readonly signal: AbortSignal;
  /** Adds a finite number to this step's metrics, under a name that the run does not use itself. */
  log_metric(name: string, value: number): void;
  /** Adds a column to completions.jsonl, one value per sample. */
  log_extra(column: string, values: readonly unknown[]): void;
}
