/**
 * Renders the checkpoint's Jinja chat template in a worker with a deadline and a memory cap: the template is foreign code.
 * Knows where templates are stored, not tokens. The only user of @huggingface/jinja.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { isJsonObject, readJsonFileIfPresent } from '../checkpoint/json_file.ts';
import { SightlineError } from '../errors.ts';

export interface ChatTemplate {
  readonly source: string;
  /** Where the source was read from. */
  readonly where: string;
  /** The text for the variables (`messages`, `add_generation_prompt`, ...). Equal variables are rendered once. */
  render(variables: Record<string, unknown>): Promise<string>;
  /** Ends the worker. Not needed for the process to exit: an idle worker does not keep it alive. */
  close(): Promise<void>;
}

export interface RenderLimits {
  /** Milliseconds one render may take, the worker's start included; default 10,000. */
  readonly deadlineMs?: number;
  /** Heap of the worker; default 128 MB. */
  readonly memoryMb?: number;
}

/**
 * The chat template of a checkpoint folder: chat_template.jinja, else chat_template.json, else `chat_template` of
 * tokenizer_config.json (of several named ones, `default`). Errors: E_TEMPLATE_MISSING, E_JSON_INVALID.
 */
export function readChatTemplate(dir: string, limits: RenderLimits = {}): ChatTemplate {
  const jinja = join(dir, 'chat_template.jinja');
  if (existsSync(jinja) && statSync(jinja).isFile())
    return createChatTemplate(readFileSync(jinja, 'utf8'), jinja, limits);
  for (const name of ['chat_template.json', 'tokenizer_config.json']) {
    const source = templateOf(readJsonFileIfPresent(join(dir, name))?.chat_template);
    if (source !== null) return createChatTemplate(source, join(dir, name), limits);
  }
  throw new SightlineError('E_TEMPLATE_MISSING', 'the checkpoint has no chat template', {
    where: dir,
    hint: 'copy chat_template.jinja or chat_template.json from the published checkpoint into this folder',
  });
}

/**
 * A template from its source. The worker starts at the first render.
 * Errors of `render`: E_TEMPLATE_INVALID (syntax, or the template refused the conversation), E_TEMPLATE_LIMIT.
 */
export function createChatTemplate(
  source: string,
  where: string,
  { deadlineMs = 10_000, memoryMb = 128 }: RenderLimits = {},
): ChatTemplate {
  const cache = new Map<string, Promise<string>>();
  let worker: Worker | null = null;
  let turn: Promise<unknown> = Promise.resolve();

  const renderNow = (variables: string): Promise<string> => {
    worker ??= startWorker(source, memoryMb);
    return ask(worker, variables, deadlineMs, where).catch(async (error: unknown) => {
      // After a refusal the worker is fine; after a deadline, a crash or exhausted memory the next render needs another.
      if (error instanceof SightlineError && error.code === 'E_TEMPLATE_INVALID') throw error;
      const ended = worker;
      worker = null;
      await ended?.terminate();
      throw error;
    });
  };

  return {
    source,
    where,
    render: (variables) => {
      const key = JSON.stringify(variables);
      const known = cache.get(key);
      if (known !== undefined) return known;
      // One at a time, so that each has the whole deadline.
      const rendered = turn.then(() => renderNow(key));
      turn = rendered.catch(() => undefined);
      if (key.length <= CACHED_LENGTH) {
        cache.set(key, rendered);
        if (cache.size > CACHED_RENDERS) cache.delete(cache.keys().next().value!);
        rendered.catch(() => cache.delete(key));
      }
      return rendered;
    },
    close: async () => {
      const ended = worker;
      worker = null;
      await ended?.terminate();
    },
  };
}

// --- internal ---

const CACHED_RENDERS = 512;
/** Conversations above this many characters are not kept. */
const CACHED_LENGTH = 65_536;

/**
 * Plain CommonJS in a string, because a worker's file would need another loader under the tests than in the build. A long
 * text is refused in there, before it is copied out.
 */
const WORKER_SOURCE = `
const { parentPort, workerData } = require('node:worker_threads');
const { Template } = require(workerData.jinja);
let template;
parentPort.on('message', (variables) => {
  try {
    template ??= new Template(workerData.source);
    const text = template.render(JSON.parse(variables));
    if (typeof text !== 'string') throw new Error('the template gave no text');
    parentPort.postMessage(text.length > workerData.longest ? { tooLong: text.length } : { text });
  } catch (error) {
    parentPort.postMessage({ error: String(error && error.message || error).slice(0, 500) });
  }
});
`;

/** Characters a rendered conversation may have. */
const LONGEST_TEXT = 16_000_000;

function startWorker(source: string, memoryMb: number): Worker {
  const jinja = createRequire(import.meta.url).resolve('@huggingface/jinja');
  const worker = new Worker(WORKER_SOURCE, {
    eval: true,
    workerData: { jinja, source, longest: LONGEST_TEXT },
    resourceLimits: { maxOldGenerationSizeMb: memoryMb, maxYoungGenerationSizeMb: 16, stackSizeMb: 2 },
    env: {},
    execArgv: [],
    stdout: true,
    stderr: true,
  });
  worker.unref();
  return worker;
}

interface Reply {
  readonly text?: string;
  readonly error?: string;
  readonly tooLong?: number;
}

/** Sends one request; the worker keeps the process alive only while somebody waits for it. */
function ask(worker: Worker, variables: string, deadlineMs: number, where: string): Promise<string> {
  return new Promise<string>((resolve, reject) => {
    const limit = (message: string): SightlineError =>
      new SightlineError('E_TEMPLATE_LIMIT', `the chat template ${message}`, {
        where,
        hint: 'use the template the model was published with',
      });
    const onMessage = ({ text, error, tooLong }: Reply): void => {
      if (text !== undefined) finish(() => resolve(text));
      else if (tooLong !== undefined)
        finish(() => reject(limit(`gave ${tooLong} characters, at most ${LONGEST_TEXT} are taken`)));
      else finish(() => reject(refused(error ?? 'no reason given', where)));
    };
    const onError = (error: Error): void => {
      const outOfMemory = 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      finish(() => reject(outOfMemory ? limit('used up its memory') : error));
    };
    const onExit = (): void => finish(() => reject(limit('ended its worker')));
    const timer = setTimeout(() => finish(() => reject(limit(`did not end within ${deadlineMs} ms`))), deadlineMs);
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      worker.off('message', onMessage).off('error', onError).off('exit', onExit);
      worker.unref();
      settle();
    };
    worker.on('message', onMessage).on('error', onError).on('exit', onExit);
    worker.ref();
    worker.postMessage(variables);
  });
}

function refused(reason: string, where: string): SightlineError {
  return new SightlineError('E_TEMPLATE_INVALID', `the chat template failed: ${reason}`, {
    where,
    hint: 'check the order of roles in the conversation, and that the template is the published one',
  });
}

function templateOf(value: unknown): string | null {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return null;
  const named: unknown = value.find((entry) => isJsonObject(entry) && entry.name === 'default') ?? value[0];
  return isJsonObject(named) && typeof named.template === 'string' ? named.template : null;
}
