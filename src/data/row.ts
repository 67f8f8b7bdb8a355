/**
 * Parses one JSON object of a dataset into a conversation, its images, its tools and the columns that rewards get.
 * Knows which columns a row may have (docs/dataset.md), not files, pixels or tokens.
 */

import { SightlineError } from '../errors.ts';
import { isJsonObject, type JsonObject } from '../util/json.ts';
import { type Columns, columnsOf, firstColumn, invalidRow, inWords, listOf, shownNames } from './columns.ts';
import { CONVERSATION_COLUMNS, conversationOf } from './conversation.ts';
import { type ImageSource, parseImageSource } from './image_source.ts';
import type { Message } from './messages.ts';
import { parseObjects } from './objects.ts';
import { countGiven, place, type RowNote, withQwenTags } from './placeholders.ts';
import { parseTools } from './tools.ts';
import { turnsOf } from './turns.ts';

export type { RowNote };

export interface Row {
  /** Position in the dataset, from 0. */
  readonly index: number;
  /** file:line */
  readonly where: string;
  readonly messages: readonly Message[];
  /** One per image part of the messages, in order. Not read yet. */
  readonly images: readonly ImageSource[];
  /** JSON schemas of the tools that the system prompt lists; empty if the row has none. */
  readonly tools: readonly JsonObject[];
  /** All other columns, unchanged (`solution`, `completion_ids`, ...), plus `tools` and `objects` in their checked form. */
  readonly columns: Readonly<Record<string, unknown>>;
  /** Oddities of a usable row that its author should know of. */
  readonly notes: readonly RowNote[];
}

/**
 * Reads a row in any of the forms of `conversationOf`. Images come from the column `images` (or `image`), or from the
 * messages themselves.
 *
 * @param base folder that relative image paths start from
 * Errors: E_DATASET_ROW, E_MEDIA_UNSUPPORTED, E_IMAGE_COUNT, E_IMAGE_SOURCE, E_IMAGE_URL, each with `where`.
 */
export function parseRow(json: unknown, { index, where, base }: { index: number; where: string; base: string }): Row {
  if (!isJsonObject(json)) {
    throw invalidRow(`the line holds ${inWords(json)}, expected an object`, where, 'write one JSON object a line');
  }
  try {
    return rowOf(json, { index, where, base });
  } catch (error) {
    // Deep nesting exhausts the call stack. That is a fault of the row, not of this program.
    if (!(error instanceof RangeError)) throw error;
    throw invalidRow('the row is nested too deeply', where, 'remove the column with the deeply nested lists');
  }
}

// --- internal ---

const IMAGE_COLUMNS = ['images', 'image'] as const;
const OTHER_MEDIA = ['videos', 'video', 'audios', 'audio'] as const;

function rowOf(json: JsonObject, { index, where, base }: { index: number; where: string; base: string }): Row {
  const columns = columnsOf(json);
  refuseOtherMedia(columns, where);
  refuseTemplateSettings(columns, where);
  const conversation = conversationOf(json, columns, where);
  const imageColumn = firstColumn(columns, IMAGE_COLUMNS);
  const listed = listOf(imageColumn?.value).filter((image) => !isNoImage(image));
  const turns = withQwenTags(turnsOf(conversation.messages, where), listed);
  const objectColumn = columns.get('objects');
  const objects =
    objectColumn === undefined ? null : parseObjects(objectColumn.value, countGiven(turns, listed), where);
  const { messages, images, notes } = place(turns, listed, objects, where);
  const toolColumn = columns.get('tools');
  const tools = toolColumn === undefined ? [] : parseTools(toolColumn.value, where);

  const used = [...conversation.used, imageColumn?.key, objectColumn?.key, toolColumn?.key];
  const named = [
    ...rest(json, used),
    ...(objects === null ? [] : [['objects', objects.column] as const]),
    ...(tools.length === 0 ? [] : [['tools', tools] as const]),
  ];
  return {
    index,
    where,
    messages,
    images: images.map((image) => parseImageSource(image, base, where)),
    tools,
    columns: Object.fromEntries(named),
    notes,
  };
}

/** The columns that rewards get: all except those already used and known columns that are null. */
function rest(json: JsonObject, used: readonly (string | undefined)[]): readonly (readonly [string, unknown])[] {
  const names = new Set(Object.keys(json));
  return Object.entries(json)
    .filter(([key, value]) => !used.includes(key) && !(value === null && KNOWN.has(key.toLowerCase())))
    .map(([key, value]) => [key.toLowerCase() === SOLUTION && !names.has(SOLUTION) ? SOLUTION : key, value]);
}

const KNOWN: ReadonlySet<string> = new Set([...CONVERSATION_COLUMNS, ...IMAGE_COLUMNS, 'objects', 'tools']);

/** The column that built-in rewards read, in any case. Columns of other rewards keep the case that their author chose. */
const SOLUTION = 'solution';

/** Null, or an object whose fields are all null, as Parquet writes it. */
const isNoImage = (image: unknown): boolean =>
  image === null || (isJsonObject(image) && Object.values(image).every((value) => value === null));

function refuseOtherMedia(columns: Columns, where: string): void {
  const found = OTHER_MEDIA.find((name) => listOf(columns.get(name)?.value).some((medium) => medium !== null));
  if (found === undefined) return;
  throw new SightlineError('E_MEDIA_UNSUPPORTED', `the row has "${found}"; only images are supported`, {
    where,
    hint: 'give frames as images, or leave these rows out (--strict false)',
  });
}

/** Per-row template settings (an image size, a thinking mode) are not supported; ignoring them would change the prompt. */
function refuseTemplateSettings(columns: Columns, where: string): void {
  const column = columns.get('chat_template_kwargs');
  if (column === undefined) return;
  const set = isJsonObject(column.value)
    ? Object.entries(column.value).flatMap(([key, value]) => (value === null ? [] : [key]))
    : null;
  if (set !== null && set.length === 0) return;
  const found = set === null ? `is ${inWords(column.value)}` : `sets ${shownNames(set)}`;
  throw invalidRow(
    `"chat_template_kwargs" ${found}; template settings of single rows are not supported`,
    where,
    'remove the column; --min_pixels, --max_pixels and --system apply to all rows',
  );
}
