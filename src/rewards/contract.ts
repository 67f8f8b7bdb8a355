/**
 * The reward contract: a reward is a class whose `call` maps completions and their dataset columns to one number each
 * (ms-swift's ORM). Knows the arguments that a reward may use; knows neither how they are made nor how rewards use them.
 */
import type { AttnProbe } from '../attention/cross_check.ts';
import type { AttentionMapNeed, AttentionNeed, ImageAttentionMap, SpanAttention } from '../attention/spans/need.ts';
import type { AttentionMasses } from '../attention/tdr.ts';
import type { NormBbox } from '../models/architecture.ts';
import type { ImageTransform } from '../models/image_transform.ts';
import type { ModelKwargs, PolicyModel } from '../models/types.ts';

export type { AttnProbe } from '../attention/cross_check.ts';
export type { AttentionMapNeed, AttentionNeed, ImageAttentionMap, SpanAttention } from '../attention/spans/need.ts';
export type { AttentionMasses } from '../attention/tdr.ts';

/**
 * One value per completion. `null` (or undefined) means "does not apply": the sample is left out of this reward's
 * statistics and of the group's baseline. A 0, in contrast, is a verdict.
 */
export type RewardValues = readonly (number | null | undefined)[];

/** A reward; a run creates one object per reward. */
export interface ORM {
  /**
   * @param completions decoded text, one per sample; the samples of a prompt are consecutive, `num_generations` of them
   * @param kwargs every column of the dataset, and the fields of `RewardKwargs`, as arrays in the same order
   */
  call(completions: readonly string[], kwargs: RewardKwargs): RewardValues | Promise<RewardValues>;
}

/** Things that the trainer prepares only if a reward declares that it needs them. */
export type RewardNeed = 'attention' | AttentionNeed | AttentionMapNeed | TransformedImageNeed;

/** The log-probabilities of the completion under a changed image: see `transformedImage` and `changed_images`. */
export interface TransformedImageNeed {
  readonly need: 'transformed_image';
  readonly transform: ImageTransform;
  /** The key of what was measured in `changed_images`. */
  readonly name: string;
}

/** Log-probabilities of the sampled tokens of one completion, in nats. */
export interface ChangedImageLogps {
  /** As sampled, under the image itself. [T] */
  readonly logps: Float32Array;
  /** The same tokens under the changed image. [T] */
  readonly changed: Float32Array;
}

/**
 * The class that is assigned to an entry of `orms`. Its class name is the metric name, `rewards/<name>/mean`. If the classes
 * of two rewards of a run have the same name, the registered names are used instead.
 */
export interface OrmConstructor {
  new (args: RewardArgs): ORM;
  readonly name: string;
  readonly needs?: readonly RewardNeed[];
  /**
   * Columns of the dataset that the reward requires, `static columns = ['solution']`. A dataset in which no row has such a
   * column is refused before anything is sampled. For a row without a value `call` gets undefined or null, and should return
   * null.
   */
  readonly columns?: readonly string[];
  /**
   * The reward's own flags of `sightline rlhf`, by name. They are read from the command line, a config file or the
   * environment, checked, shown in --help and saved in args.json. The constructor gets their values among its arguments.
   */
  readonly flags?: Readonly<Record<string, RewardFlag>>;
  /** Numbers per completion that the reward passes to `log_extra`, for the run to average, show and watch. */
  readonly signals?: readonly RewardSignal[];
}

/** A flag of a reward: `{ kind: 'number', default: 1, min: 0, help: 'Reward for naming the right place.' }`. */
export type RewardFlag = {
  /** One or two sentences for --help, ending with a full stop. */
  readonly help: string;
  /** Unit of the value: tokens, pixels, ... */
  readonly unit?: string;
  /** What happens if the flag is not given, for a default of null. */
  readonly unset?: string;
  /** Environment variable that is read if neither the command line nor a config file gives a value. */
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

/** A logged column from which the run derives metrics: `{ column: 'tdr', metric: 'attention/tdr' }`. */
export interface RewardSignal {
  /** The column in `log_extra(column, values)`, with one number or null per completion; also the signal's name on the console. */
  readonly column: string;
  /** `<metric>_mean` and `<metric>_std` are logged, per training step and per evaluation; the mean is shown. */
  readonly metric: string;
  /**
   * For a signal that the reward itself rewards. The signal's correlation with every other reward within groups is logged;
   * for `attention/tdr` as `attention/corr_tdr_<label>`. If the correlation turns to the opposite of what this reward pays
   * for, the reward may be hacked, and a warning is printed once.
   */
  readonly watch?: {
    readonly pays: 'low' | 'high';
    /** What a turned correlation means, as a clause: `completions that look at the picture less now score better`. */
    readonly turned: string;
  };
}

/** The run's arguments by flag name, overridden by this reward's own options. */
export interface RewardArgs {
  readonly [flag: string]: unknown;
}

export interface TrainerState {
  readonly global_step: number;
  readonly max_steps: number;
  readonly [key: string]: unknown;
}

/** An image of a sample, in the form that the model takes. */
export interface RewardImage {
  /** (t*h*w, channels * temporal patch * patch * patch). */
  readonly pixelValues: Float32Array;
  /** t, h, w in patches. */
  readonly gridThw: readonly [number, number, number];
  /** In pixels: the stored image, to which `objects` of a row refers, and the resized image, in which boxes are written. */
  readonly size: {
    readonly stored: { readonly width: number; readonly height: number };
    readonly shown: { readonly width: number; readonly height: number };
  };
}

/** A context that is entered before a forward and left after it, on success and on error. */
export interface ForwardContext {
  enter(): void | Promise<void>;
  exit(): void | Promise<void>;
}

/** The part of the template that rewards may use. */
export interface RewardTemplate {
  /** The context that a forward on this template's inputs needs (ms-swift's name). */
  forward_context(model: PolicyModel, inputs: ModelKwargs): ForwardContext;
}

/** Takes messages from a reward to the user; lines reach the console and the log. */
export interface RewardLogger {
  debug(line: string): void;
  info(line: string): void;
  warn(line: string): void;
}

/**
 * Second argument of `call`. With B samples, every array has B entries. Columns of the dataset (`solution`, ...) have their
 * own names; if a row lacks a column, its entry is undefined. Columns that the reward declares are always present. All data
 * is the reward's own copy.
 */
export interface RewardKwargs {
  readonly [column: string]: unknown;
  readonly trainer_state: TrainerState;
  readonly num_generations: number;
  /** Prompt tokens with image pads expanded. */
  readonly prompt_ids: readonly ArrayLike<number>[];
  /** The sampled ids, including the end token if there is one; never re-encoded text. */
  readonly completion_ids: readonly ArrayLike<number>[];
  readonly messages: readonly unknown[];
  readonly images: readonly (readonly RewardImage[])[];
  /**
   * How the model writes boxes: `none`, in pixels of the resized image (`size.shown`), or `norm1000`, in thousandths of its
   * sides. Null if the trainer does not say.
   */
  readonly norm_bbox: NormBbox | null;
  /** Number of tokens of the system block at the start of each prompt. */
  readonly system_prefix: readonly number[];
  readonly image_token_id: number;
  readonly video_token_id: number;
  /** The policy, possibly inside wrappers: see `unwrapModel`. */
  readonly model: PolicyModel;
  /** Set by trainers that wrap the policy and can unwrap it. */
  readonly accelerator?: { unwrap_model(model: unknown): unknown };
  readonly template: RewardTemplate;
  /** The source of attention for rewards with `needs: ['attention']`. */
  readonly attn_probe: AttnProbe;
  /** The masses that the fused probe measured in the training forward; null if it did not run. */
  readonly attention_masses: readonly (AttentionMasses | null)[] | null;
  /**
   * For rewards with `needs: [attention(...)]` or `needs: [attentionMap(...)]`, by the need's name. `attentionOf` and
   * `attentionMapOf` read it.
   */
  readonly attention: Readonly<Record<string, readonly (SpanAttention | ImageAttentionMap)[]>>;
  /** For rewards with `needs: [transformedImage(...)]`, by the need's name; null for a completion whose prompt has no image. */
  readonly changed_images: Readonly<Record<string, readonly (ChangedImageLogps | null)[]>>;
  readonly logger: RewardLogger;
  /** Aborted when nobody waits for the answer any more: the run ends, or `--reward_timeout` has passed. Pass it to fetch. */
  readonly signal: AbortSignal;
  /** Adds a finite number to this step's metrics. The name must not be one of the run's own. */
  log_metric(name: string, value: number): void;
  /** Adds a column to completions.jsonl, with one value per sample. */
  log_extra(column: string, values: readonly unknown[]): void;
  /** Multiplies each sample's advantage by a finite number of at least 0. */
  scale_advantages(factors: readonly number[]): void;
  /**
   * Multiplies the policy loss of each token of each sample by a finite number of at least 0; 0 leaves the token out. The KL to
   * the reference still counts all tokens, and so do the denominators of `--loss_type`. [B][T_i]
   */
  weigh_tokens(weights: readonly ArrayLike<number>[]): void;
}
