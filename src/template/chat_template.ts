/**
 * Finds the checkpoint's Jinja chat template and caches rendered conversations.
 * Knows where templates are stored, not tokens. render_process.ts does the rendering.
 */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readJsonFileIfPresent, readRegularFile } from '../checkpoint/json_file.ts';
import { SightlineError } from '../errors.ts';
import { isJsonObject } from '../util/json.ts';
import { createRenderProcess, type RenderLimits } from './render_process.ts';

export type { RenderLimits };

export interface ChatTemplate {
  readonly source: string;
  /** The file that the source was read from. */
  readonly where: string;
  /** Renders the template with variables such as `messages` and `add_generation_prompt`. Equal variables are rendered once. */
  render(variables: Record<string, unknown>): Promise<string>;
  /** Ends the rendering process. Optional before exit: an idle one does not keep this process alive. */
  close(): Promise<void>;
}

/**
 * Reads the chat template of a checkpoint folder: chat_template.jinja, else chat_template.json, else `chat_template` of
 * tokenizer_config.json (if it has several named ones, `default`). Errors: E_TEMPLATE_MISSING, E_TEMPLATE_LIMIT,
 * E_FILE_UNREADABLE, E_JSON_INVALID.
 */
export function readChatTemplate(dir: string): ChatTemplate {
  const jinja = join(dir, 'chat_template.jinja');
  if (existsSync(jinja) && statSync(jinja).isFile()) {
    const bytes = readRegularFile(jinja, 4 * LONGEST_SOURCE);
    return createChatTemplate(checkLength(Buffer.from(bytes).toString('utf8'), jinja), jinja);
  }
  for (const name of ['chat_template.json', 'tokenizer_config.json']) {
    const source = templateOf(readJsonFileIfPresent(join(dir, name))?.chat_template);
    if (source === null) continue;
    const where = join(dir, name);
    return createChatTemplate(checkLength(source, where), where);
  }
  throw new SightlineError('E_TEMPLATE_MISSING', 'the checkpoint has no chat template', {
    where: dir,
    hint: 'copy chat_template.jinja or chat_template.json from the published checkpoint into this folder',
  });
}

/**
 * Makes a template from its source. Its process starts at the first render.
 * Errors of `render`: E_TEMPLATE_INVALID (wrong syntax, or the template refused the conversation), E_TEMPLATE_LIMIT.
 */
export function createChatTemplate(source: string, where: string, limits: RenderLimits = {}): ChatTemplate {
  const cache = new Map<string, Promise<string>>();
  const renderer = createRenderProcess(source, where, limits);
  let turn: Promise<unknown> = Promise.resolve();

  return {
    source,
    where,
    render: (variables) => {
      const key = JSON.stringify(variables);
      const known = cache.get(key);
      if (known !== undefined) return known;
      // One render at a time, so that each has the full deadline.
      const rendered = turn.then(() => renderer.render(key));
      turn = rendered.catch(() => undefined);
      if (key.length <= CACHED_LENGTH) {
        cache.set(key, rendered);
        if (cache.size > CACHED_RENDERS) cache.delete(cache.keys().next().value!);
        rendered.catch(() => cache.delete(key));
      }
      return rendered;
    },
    close: () => renderer.close(),
  };
}

// --- internal ---

const CACHED_RENDERS = 512;
/** Longer conversations, in characters of JSON, are not cached. */
const CACHED_LENGTH = 65_536;

/** Maximum number of characters of a template. The largest published one has about 10,000. */
const LONGEST_SOURCE = 1_000_000;

function checkLength(source: string, where: string): string {
  if (source.length <= LONGEST_SOURCE) return source;
  throw new SightlineError(
    'E_TEMPLATE_LIMIT',
    `the chat template has ${source.length} characters; the limit is ${LONGEST_SOURCE}`,
    { where, hint: 'use the template that the model was published with' },
  );
}

function templateOf(value: unknown): string | null {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return null;
  const named: unknown = value.find((entry) => isJsonObject(entry) && entry.name === 'default') ?? value[0];
  return isJsonObject(named) && typeof named.template === 'string' ? named.template : null;
}
