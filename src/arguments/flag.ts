/**
 * Flags as plain data, from which parsing, --help, args.json, types and messages are derived.
 * Knows no particular flag and loads no library, so that --help stays fast.
 */

/** The headings of --help, in order. */
export const GROUPS = [
  'Model',
  'LoRA',
  'Data',
  'GRPO',
  'Perception',
  'Sampling',
  'Rewards',
  'Attention',
  'Optimiser',
  'Length of the run',
  'Evaluation',
  'Output',
  'Engine',
  'Page',
  'Other',
] as const;
export type Group = (typeof GROUPS)[number] | RewardGroup;
/** The heading for the flags of one reward. */
export type RewardGroup = `Reward ${string}`;

/** The values that a flag accepts. */
export type Shape =
  | {
      readonly kind: 'number';
      readonly integer?: boolean;
      readonly min?: number;
      readonly max?: number;
      /** Exclusive bounds. */
      readonly above?: number;
      readonly below?: number;
    }
  | {
      readonly kind: 'boolean';
      /** Further words that mean true or false, for compatibility. */
      readonly spellings?: Readonly<Record<string, boolean>>;
    }
  | { readonly kind: 'text'; readonly empty?: boolean }
  | { readonly kind: 'object' }
  | {
      readonly kind: 'choice';
      readonly choices: readonly string[];
      /** Other spellings of the choices. */
      readonly spellings?: Readonly<Record<string, string>>;
      /** Choices of ms-swift that are not supported here, each with the reason. */
      readonly absent?: Readonly<Record<string, string>>;
      /** Those of `absent` that --ignore_unsupported may drop, because the run then still does what was asked for. */
      readonly ignorable?: readonly string[];
    };

/** Programs that can train: sightline itself, or ms-swift with the plugin in integrations/ms_swift. */
export const ENGINES = ['sightline', 'ms-swift'] as const;
export type Engine = (typeof ENGINES)[number];

/** The counterpart of a flag in ms-swift. */
export type InMsSwift =
  /** The same flag. `more`: values that only ms-swift has; `words`: other spellings of values. */
  | { readonly more?: readonly string[]; readonly words?: Readonly<Record<string, string>> }
  /** An environment variable. */
  | { readonly env: string }
  /** None, and the result does not depend on it. The text says why; it is printed if the flag is given. */
  | { readonly ignored: string }
  /** None, and the result would be different. Any value but the default is an error; the text says what to do. */
  | { readonly refused: string }
  /** None: sightline itself reads the flag before it starts ms-swift. */
  | { readonly readHere: true };

interface Common {
  readonly group: Group;
  /** One or two sentences for --help, each ending with a full stop. */
  readonly help: string;
  /** Unit of the value: tokens, steps, pixels, … */
  readonly unit?: string;
  /** Placeholder for the value in --help. */
  readonly metavar?: string;
  /** What a null default means, in words. */
  readonly unset?: string;
  /** Environment variable that is read if neither the command line nor the config file gives a value. */
  readonly env?: string;
  /** Other names of the flag. */
  readonly aliases?: readonly string[];
  /** The only engine that has the flag. */
  readonly engine?: Engine;
  /** Where ms-swift and TRL, or their engines, mean different things by the flag: what is followed. For docs/parity.md. */
  readonly follows?: string;
  /** Omitted if ms-swift has the same flag with the same values. */
  readonly msSwift?: InMsSwift;
}

/** One flag; `T` is the type of its value. */
export interface Flag<T> extends Common {
  readonly shape: Shape;
  /** Whether the flag takes a list of values. */
  readonly many: boolean;
  /** Undefined means that the flag is required. For null see `unset`. */
  readonly default: T | undefined;
}

export type Flags = Readonly<Record<string, Flag<unknown>>>;

/** Remarks for --help on a flag that differs between the engines. */
export function engineRemarks({ engine, msSwift = {} }: Pick<Flag<unknown>, 'engine' | 'msSwift'>): string[] {
  if (engine !== undefined) return [`only with --engine ${engine}`];
  if ('ignored' in msSwift || 'refused' in msSwift) return ['only with --engine sightline'];
  const more = 'more' in msSwift ? (msSwift.more ?? []) : [];
  return more.length === 0 ? [] : [`with --engine ms-swift also ${more.join(', ')}`];
}

/** Whether the flag belongs to a reward. */
export function isOfReward({ group }: Pick<Flag<unknown>, 'group'>): boolean {
  return group.startsWith('Reward ');
}

/** The headings of these flags, in the order of --help. */
export function groupsOf(flags: Flags): Group[] {
  const used = new Set(Object.values(flags).map(({ group }) => group));
  const ofRewards = [...used].filter((group) => isOfReward({ group }));
  return GROUPS.flatMap((group): Group[] => (group === 'Rewards' ? [group, ...ofRewards] : [group])).filter((group) =>
    used.has(group),
  );
}

/** Converts a snake_case flag name to the camelCase name of its value in TypeScript. */
export type CamelCase<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;

/** The values of a set of flags, by camelCase name. */
export type Values<F extends Flags> = {
  readonly [K in keyof F & string as CamelCase<K>]: F[K] extends Flag<infer T> ? T : never;
};

export function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

// --- constructors; the value may be null only if the default is null ---

type Range = Omit<Extract<Shape, { kind: 'number' }>, 'kind'>;

export function number<D extends number | null>(options: Common & Range & { default: D }): Flag<number | D> {
  const { integer, min, max, above, below, ...common } = options;
  return { metavar: 'NUMBER', ...common, shape: { kind: 'number', integer, min, max, above, below }, many: false };
}

export function integer<D extends number | null>(options: Common & Range & { default: D }): Flag<number | D> {
  return number({ metavar: 'N', ...options, integer: true });
}

export function numberList<D extends readonly number[] | null>({
  integer,
  min,
  ...options
}: Common & Pick<Range, 'integer' | 'min'> & { default: D }): Flag<readonly number[] | D> {
  return { metavar: 'NUMBER', ...options, shape: { kind: 'number', integer, min }, many: true };
}

/** `--flag`, `--flag true` or `--flag false`, as ms-swift writes them. */
export function boolean<D extends boolean | null>(
  options: Common & Pick<Extract<Shape, { kind: 'boolean' }>, 'spellings'> & { default: D },
): Flag<boolean | D> {
  const { spellings, ...common } = options;
  return { metavar: 'true|false', ...common, shape: { kind: 'boolean', spellings }, many: false };
}

export function text<D extends string | null>(
  options: Common & { default: D /** Whether '' is allowed. */; empty?: boolean },
): Flag<string | D> {
  const { empty, ...common } = options;
  return { metavar: 'TEXT', ...common, shape: { kind: 'text', empty }, many: false };
}

/** A JSON object, written on the command line as JSON text. */
export function jsonObject(options: Common & { default: null }): Flag<Readonly<Record<string, unknown>> | null> {
  return { metavar: 'JSON', ...options, shape: { kind: 'object' }, many: false };
}

export function requiredText(options: Common): Flag<string> {
  return { metavar: 'TEXT', ...options, shape: { kind: 'text' }, many: false, default: undefined };
}

export function textList(options: Common & { default: readonly string[] | undefined }): Flag<readonly string[]> {
  return { metavar: 'TEXT', ...options, shape: { kind: 'text' }, many: true };
}

type ChoiceOptions = Common & Pick<Extract<Shape, { kind: 'choice' }>, 'spellings' | 'absent' | 'ignorable'>;

export function choice<const C extends string, D extends C | null>(
  choices: readonly C[],
  options: ChoiceOptions & { default: D },
): Flag<C | D> {
  const { spellings, absent, ignorable, ...common } = options;
  return {
    metavar: choices.join('|'),
    ...common,
    shape: { kind: 'choice', choices, spellings, absent, ignorable },
    many: false,
  };
}

export function choiceList<const C extends string>(
  choices: readonly C[],
  options: ChoiceOptions & { default: readonly C[] },
): Flag<readonly C[]> {
  const { spellings, absent, ignorable, ...common } = options;
  return {
    metavar: choices.join('|'),
    ...common,
    shape: { kind: 'choice', choices, spellings, absent, ignorable },
    many: true,
  };
}
