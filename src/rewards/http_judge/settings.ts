/**
 * The settings of the HTTP judge: its flags and their checked values.
 * Knows addresses and names; sends nothing.
 */
import type { RewardArgs, RewardFlag } from '../contract.ts';
import { numberOption, textOption, wrongOption } from '../options.ts';

export const JUDGE_FLAGS = {
  http_judge_url: {
    kind: 'text',
    default: null,
    unset: 'required by http_judge',
    help: 'Address (http:// or https://) that http_judge sends completions to. args.json records it, so it must not contain a secret.',
  },
  http_judge_batch_size: {
    kind: 'number',
    default: null,
    unset: 'all',
    integer: true,
    min: 1,
    unit: 'completions',
    help: 'Completions in one request of http_judge. A multiple of --num_generations keeps the completions of a prompt together.',
  },
  http_judge_concurrency: {
    kind: 'number',
    default: 4,
    integer: true,
    min: 1,
    max: 256,
    unit: 'requests',
    help: 'Number of http_judge requests that are open at the same time.',
  },
  http_judge_timeout: {
    kind: 'number',
    default: 60,
    above: 0,
    max: 86_400,
    unit: 'seconds',
    help: 'Time limit for the answer to one request of http_judge.',
  },
  http_judge_retries: {
    kind: 'number',
    default: 3,
    integer: true,
    min: 0,
    max: 100,
    unit: 'retries',
    help: 'How often http_judge repeats a request that got no answer or one of the statuses 408, 425, 429 and 5xx.',
  },
  http_judge_backoff: {
    kind: 'number',
    default: 1,
    min: 0,
    max: 3600,
    unit: 'seconds',
    help: 'Pause before the first retry of http_judge. It doubles with each retry, up to a minute; a longer Retry-After header, up to a minute, takes precedence.',
  },
  http_judge_token_env: {
    kind: 'text',
    default: null,
    unset: 'no token',
    help: 'Name of the environment variable that holds the bearer token of http_judge. The token is neither logged nor saved.',
  },
  http_judge_columns: {
    kind: 'text',
    default: null,
    unset: 'solution, where the dataset has it',
    help: 'Dataset columns that http_judge sends, separated by commas.',
  },
} as const satisfies Readonly<Record<string, RewardFlag>>;

export interface JudgeSettings {
  readonly url: URL;
  /** Completions in one request; null: all. */
  readonly batchSize: number | null;
  readonly concurrency: number;
  /** Seconds until the answer to one request must be there. */
  readonly timeout: number;
  readonly retries: number;
  /** Seconds before the first retry. */
  readonly backoff: number;
  readonly token: string | null;
  /** Null: `solution`, where there is one. */
  readonly columns: readonly string[] | null;
}

/** @throws SightlineError E_REWARD_OPTION: a setting that is missing or cannot be used */
export function judgeSettings(args: RewardArgs, env: Readonly<Record<string, string | undefined>>): JudgeSettings {
  const count = (name: 'http_judge_concurrency' | 'http_judge_timeout' | 'http_judge_retries' | 'http_judge_backoff') =>
    numberOption(args, name, JUDGE_FLAGS[name]);
  const columns = textOption(args, 'http_judge_columns', JUDGE_FLAGS.http_judge_columns);
  return {
    url: addressOf(textOption(args, 'http_judge_url', JUDGE_FLAGS.http_judge_url)),
    batchSize: numberOption(args, 'http_judge_batch_size', JUDGE_FLAGS.http_judge_batch_size),
    concurrency: count('http_judge_concurrency'),
    timeout: count('http_judge_timeout'),
    retries: count('http_judge_retries'),
    backoff: count('http_judge_backoff'),
    token: tokenOf(textOption(args, 'http_judge_token_env', JUDGE_FLAGS.http_judge_token_env), env),
    columns: columns === null ? null : namesIn(columns),
  };
}

// --- internal ---

function namesIn(list: string): readonly string[] {
  const names = list.split(',').map((name) => name.trim());
  if (names.some((name) => name === '')) {
    const shown = JSON.stringify(list);
    throw wrongOption('http_judge_columns', `is ${shown}, in which a name is empty`, 'write them as solution,level');
  }
  const taken = names.find((name) => NOT_SENT.has(name));
  if (taken === undefined) return [...new Set(names)];
  throw wrongOption(
    'http_judge_columns',
    `names "${taken}", which is no column of the dataset`,
    'completions and messages are always sent; token ids and images never are',
  );
}

/** Lists that rewards get besides the columns of the dataset. */
const NOT_SENT: ReadonlySet<string> = new Set([
  'attention_masses',
  'completion_ids',
  'images',
  'messages',
  'prompt_ids',
  'system_prefix',
]);

function addressOf(text: string | null): URL {
  const name = 'http_judge_url';
  const hint = 'write --http_judge_url http://HOST:PORT/PATH';
  if (text === null) throw wrongOption(name, 'has no value, and http_judge needs one', hint);
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw wrongOption(name, `is ${JSON.stringify(text)}, which is no http:// or https:// address`, hint);
  }
  if (url.username !== '' || url.password !== '') {
    throw wrongOption(
      name,
      `has a user name or a password in it (host ${url.host}), which would be kept in args.json`,
      'put a bearer token into an environment variable, and name it in --http_judge_token_env',
    );
  }
  return url;
}

/** Visible ASCII, which a header may contain. */
const TOKEN = /^[\x21-\x7e]+$/;

function tokenOf(variable: string | null, env: Readonly<Record<string, string | undefined>>): string | null {
  if (variable === null) return null;
  const token = env[variable]?.trim();
  const name = 'http_judge_token_env';
  if (token === undefined || token === '') {
    const hint = `write the NAME of a variable, not the token, and set it: export ${NAME.test(variable) ? variable : 'JUDGE_TOKEN'}=...`;
    // A token given in place of a name must not appear in the message.
    const shown = NAME.test(variable) ? `the environment variable ${variable}` : 'a variable';
    throw wrongOption(name, `names ${shown}, which is not set`, hint);
  }
  if (TOKEN.test(token)) return token;
  throw wrongOption(
    name,
    `names the environment variable ${variable}, whose value is no token: it has blanks or control characters in it`,
    'set it to the token alone',
  );
}

const NAME = /^[A-Z_][A-Z0-9_]{0,63}$/;
