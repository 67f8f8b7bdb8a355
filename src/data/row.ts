/**
 * One JSON object of a dataset -> a conversation, its images and the columns that rewards get.
 * Knows ms-swift's row formats, not files, pixels or tokens.
 */
import { describe, isJsonObject, type JsonObject } from '../checkpoint/json_file.ts';
import { SightlineError } from '../errors.ts';
import { type ImageSource, parseImageSource } from './image_source.ts';
import { type ContentPart, IMAGE_TAG, type Message, type Role, splitImageTags } from './messages.ts';

export interface Row {
  /** Position in the dataset, from 0. */
  readonly index: number;
  /** file:line */
  readonly where: string;
  readonly messages: readonly Message[];
  /** One per place for an image, in order. Not read yet. */
  readonly images: readonly ImageSource[];
  /** Every other column, as it was (`solution`, `completion_ids`, ...). */
  readonly columns: Readonly<Record<string, unknown>>;
}

/**
 * Reads the two shapes of a row:
 * - `messages` (or `conversations` with `from`/`value`), content a text with `<image>` tags or a list of parts;
 * - `query`, with `system`, `history` (pairs) and `response` if there are any.
 * Images come from `images` (or `image`), or stand in the content parts themselves; there must be one per tag.
 *
 * @param base folder that relative image paths start from
 * Errors: E_DATASET_ROW, E_IMAGE_COUNT, E_IMAGE_SOURCE, E_IMAGE_URL, each with `where`.
 */
export function parseRow(json: unknown, { index, where, base }: { index: number; where: string; base: string }): Row {
  if (!isJsonObject(json)) throw invalid(`the line holds ${describe(json)}, expected an object`, where);
  refuseOtherMedia(json, where);
  const conversation = conversationOf(json, where);
  const imageColumn = firstPresent(json, IMAGE_COLUMNS);
  const listed = imageColumn === null ? [] : listOf(json[imageColumn]);
  const { messages, images } = placeImages(conversation.messages, listed, base, where);
  const used = new Set<string>([...conversation.used, ...(imageColumn === null ? [] : [imageColumn])]);
  const columns = Object.fromEntries(Object.entries(json).filter(([name]) => !used.has(name)));
  return { index, where, messages, images, columns };
}

// --- internal ---

const IMAGE_COLUMNS = ['images', 'image'] as const;
const MESSAGE_COLUMNS = ['messages', 'conversations', 'conversation'] as const;
/** ms-swift takes all of these for the question of a simple row. */
const QUERY_COLUMNS = ['query', 'prompt', 'question', 'problem', 'instruction'] as const;
const OTHER_MEDIA = ['videos', 'video', 'audios', 'audio'] as const;

const ROLE_NAMES: ReadonlyMap<unknown, Role> = new Map([
  ['system', 'system'],
  ['user', 'user'],
  ['human', 'user'],
  ['assistant', 'assistant'],
  ['gpt', 'assistant'],
  ['bot', 'assistant'],
  ['tool', 'tool'],
] as const);

/** A message before its image places are counted; a part may still carry its own image. */
interface RawMessage {
  readonly role: Role;
  readonly content: unknown;
}

interface Conversation {
  readonly messages: readonly RawMessage[];
  /** The columns it was made of. */
  readonly used: readonly string[];
}

function conversationOf(json: JsonObject, where: string): Conversation {
  const messageColumn = firstPresent(json, MESSAGE_COLUMNS);
  if (messageColumn !== null) {
    const messages = rawMessages(json[messageColumn], messageColumn, where);
    const system = firstPresent(json, ['system']);
    if (system === null || messages[0]?.role === 'system') return { messages, used: [messageColumn, 'system'] };
    return { messages: [{ role: 'system', content: json.system }, ...messages], used: [messageColumn, 'system'] };
  }
  const queryColumn = firstPresent(json, QUERY_COLUMNS);
  if (queryColumn === null) {
    throw invalid(
      `the row has no "messages" and no "query"; its columns are ${Object.keys(json).join(', ') || 'none'}`,
      where,
    );
  }
  const turns: RawMessage[] = [
    ...(firstPresent(json, ['system']) === null ? [] : [{ role: 'system', content: json.system } as const]),
    ...historyOf(json.history, where),
    { role: 'user', content: json[queryColumn] },
    ...(firstPresent(json, ['response']) === null ? [] : [{ role: 'assistant', content: json.response } as const]),
  ];
  return { messages: turns, used: [queryColumn, 'system', 'history', 'response'] };
}

function rawMessages(value: unknown, column: string, where: string): RawMessage[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw invalid(`"${column}" is ${describe(value)}, expected a list of messages`, where);
  }
  return value.map((message: unknown, i) => {
    if (!isJsonObject(message)) throw invalid(`message ${i + 1} is ${describe(message)}, expected an object`, where);
    const given = message.role ?? message.from;
    const role = ROLE_NAMES.get(given);
    if (role === undefined) {
      throw invalid(
        `message ${i + 1} has the role ${describe(given)}, expected system, user, assistant or tool`,
        where,
      );
    }
    return { role, content: Object.hasOwn(message, 'content') ? message.content : message.value };
  });
}

function historyOf(value: unknown, where: string): RawMessage[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value))
    throw invalid(`"history" is ${describe(value)}, expected a list of [query, response] pairs`, where);
  return value.flatMap((pair: unknown): RawMessage[] => {
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw invalid(`"history" holds ${describe(pair)}, expected a [query, response] pair`, where);
    }
    return [
      { role: 'user', content: pair[0] },
      { role: 'assistant', content: pair[1] },
    ];
  });
}

/** Gives every place its image: the part's own, else the next one of the `images` column. */
function placeImages(
  raw: readonly RawMessage[],
  listed: readonly unknown[],
  base: string,
  where: string,
): { messages: Message[]; images: ImageSource[] } {
  let places = 0; // that want an image of the column
  const values: unknown[] = [];
  const messages = raw.map(({ role, content }, i): Message => {
    const parts = partsOf(content, i + 1, where);
    if (typeof parts === 'string') return { role, content: parts };
    for (const part of parts) {
      if (part.type === 'image') values.push(part.image ?? listed[places++]);
    }
    return { role, content: parts.map((part) => (part.type === 'image' ? { type: 'image' } : part)) };
  });
  if (places !== listed.length) {
    throw new SightlineError(
      'E_IMAGE_COUNT',
      `the row has ${places} ${IMAGE_TAG} ${places === 1 ? 'tag' : 'tags'}, but ${listed.length} ${listed.length === 1 ? 'image' : 'images'}`,
      { where, hint: `put one ${IMAGE_TAG} into the text for each entry of "images"` },
    );
  }
  return { messages, images: values.map((value) => parseImageSource(value, base, where)) };
}

function partsOf(content: unknown, number: number, where: string): string | readonly ContentPart[] {
  if (typeof content === 'string') return splitImageTags(content);
  if (!Array.isArray(content)) {
    throw invalid(`message ${number} has ${describe(content)} for content, expected a text or a list of parts`, where);
  }
  return content.flatMap((part: unknown): readonly ContentPart[] => {
    if (typeof part === 'string') return asParts(splitImageTags(part));
    if (isJsonObject(part)) {
      if (typeof part.text === 'string' && (part.type === undefined || part.type === 'text'))
        return asParts(splitImageTags(part.text));
      if (part.type === 'image' || part.type === 'image_url') {
        return [
          { type: 'image', image: part.image ?? part.image_url ?? part.path ?? part.url ?? part.bytes ?? undefined },
        ];
      }
    }
    throw invalid(`message ${number} has the part ${describe(part)}, expected a text or an image`, where);
  });
}

function asParts(split: string | readonly ContentPart[]): readonly ContentPart[] {
  return typeof split === 'string' ? [{ type: 'text', text: split }] : split;
}

function refuseOtherMedia(json: JsonObject, where: string): void {
  const found = OTHER_MEDIA.find((name) => Object.hasOwn(json, name) && listOf(json[name]).length > 0);
  if (found === undefined) return;
  throw new SightlineError('E_MEDIA_UNSUPPORTED', `the row has "${found}"; only images are supported`, {
    where,
    hint: 'give frames as images, or leave these rows out (--strict false)',
  });
}

function listOf(value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

/** The first of the names that the object has with something in it. */
function firstPresent<Name extends string>(json: JsonObject, names: readonly Name[]): Name | null {
  return names.find((name) => Object.hasOwn(json, name) && json[name] !== null && json[name] !== undefined) ?? null;
}

function invalid(message: string, where: string): SightlineError {
  return new SightlineError('E_DATASET_ROW', message, {
    where,
    hint: 'a row looks like {"messages": [{"role": "user", "content": "<image>How many?"}], "images": ["a.png"], "solution": "3"}',
  });
}
