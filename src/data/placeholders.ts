/**
 * Replaces the tags in a row's turns by the row's images and objects, in order.
 * Knows ms-swift's tags and its rules for too few or too many of them; reads no image.
 */
import { SightlineError } from '../errors.ts';
import { invalidRow } from './columns.ts';
import { BOX_TAG, type ContentPart, IMAGE_TAG, type Message, REF_TAG } from './messages.ts';
import type { Objects } from './objects.ts';
import type { Piece, Turn } from './turns.ts';

/** An oddity of a usable row that its author should know of. */
export type RowNote = 'more tags than images' | 'more placeholders than objects';

export interface Placed {
  readonly messages: readonly Message[];
  /** One per image part of the messages, in order, as the row gives them. */
  readonly images: readonly unknown[];
  readonly notes: readonly RowNote[];
}

/** The number of images that the turns and the `images` column give. */
export function countGiven(turns: readonly Turn[], listed: readonly unknown[]): number {
  return listed.length + ownImages(turns).length;
}

/** Turns Qwen-VL's `<img>path</img>` into image pieces. As in ms-swift, it counts only if the row has no other images. */
export function withQwenTags(turns: readonly Turn[], listed: readonly unknown[]): readonly Turn[] {
  if (countGiven(turns, listed) > 0) return turns;
  return turns.map((turn) => (turn.role === 'system' ? turn : { ...turn, pieces: turn.pieces.flatMap(qwenPieces) }));
}

/**
 * Assigns images to tags in order. Tags beyond the last image stay text. Images beyond the last tag go to the start of the
 * first turn after the system prompt.
 *
 * @param listed the `images` column
 * @param objects null if the row has no such column; `<ref-object>` and `<bbox>` are ordinary text then
 * Errors: E_IMAGE_COUNT, E_DATASET_ROW.
 */
export function place(
  turns: readonly Turn[],
  listed: readonly unknown[],
  objects: Objects | null,
  where: string,
): Placed {
  const own = ownImages(turns);
  const given = listed.length + own.length;
  // An image piece keeps its own image only if the `images` column gives further ones. Otherwise the pieces' images are
  // assigned to all tags and pieces in order.
  const keepOwn = listed.length > 0 && own.length > 0;
  const queue = keepOwn || own.length === 0 ? [...listed] : [...own];
  const refs = [...(objects?.refs ?? [])];
  const boxes = [...(objects?.boxes ?? [])];
  const images: unknown[] = [];
  const notes = new Set<RowNote>();

  const imageAt = (piece: { own?: unknown }): ContentPart => {
    if (keepOwn && piece.own !== undefined) images.push(piece.own);
    else if (queue.length > 0) images.push(queue.shift());
    else {
      notes.add('more tags than images');
      return { type: 'text', text: IMAGE_TAG };
    }
    return { type: 'image' };
  };
  const partAt = (text: string): ContentPart => {
    if (text === IMAGE_TAG) return imageAt({});
    if (objects === null || (text !== REF_TAG && text !== BOX_TAG)) return { type: 'text', text };
    if (text === REF_TAG && refs.length > 0) return { type: 'ref', text: refs.shift()! };
    if (text === BOX_TAG && boxes.length > 0) {
      if (given === 0) throw invalidRow('the row has a <bbox> but no image', where, BOX_HINT);
      return { type: 'box', ...boxes.shift()! };
    }
    notes.add('more placeholders than objects');
    return { type: 'text', text };
  };
  const messages = tagged(turns, given, where).map(({ role, pieces }): Message => {
    const parts = pieces.flatMap((piece): readonly ContentPart[] =>
      piece.type === 'image'
        ? [imageAt(piece)]
        : piece.text
            .split(TAGS)
            .filter((text) => text !== '')
            .map(partAt),
    );
    return { role, content: joined(parts) };
  });
  const last = messages.at(-1);
  if (last?.role === 'assistant' && typeof last.content !== 'string' && last.content.some(isImage)) {
    throw invalidRow(
      `the last answer has ${IMAGE_TAG}, but the model can only write text`,
      where,
      'move the tag to an earlier message',
    );
  }
  return { messages, images, notes: [...notes] };
}

// --- internal ---

const TAGS = new RegExp(`(${IMAGE_TAG}|${REF_TAG}|${BOX_TAG})`);
/** `[^<\n]` keeps matching linear: it stops at the next tag, so a text with many opening tags is scanned once. */
const QWEN_TAG = /<img>([^<\n]+)<\/img>/;
const BOX_HINT = 'boxes are scaled with their image: add the "images" of this row';

const isImage = ({ type }: ContentPart): boolean => type === 'image';

const ownImages = (turns: readonly Turn[]): readonly unknown[] =>
  turns.flatMap(({ pieces }) =>
    pieces.flatMap((piece) => (piece.type === 'image' && piece.own !== undefined ? [piece.own] : [])),
  );

/** Adds the missing tags, so that each image has one. */
function tagged(turns: readonly Turn[], images: number, where: string): readonly Turn[] {
  const tags = turns.reduce((sum, { pieces }) => sum + pieces.reduce((count, piece) => count + tagsIn(piece), 0), 0);
  if (tags >= images) return turns;
  const first = turns.findIndex(({ role }) => role !== 'system');
  if (first < 0) {
    throw new SightlineError('E_IMAGE_COUNT', `the row has images, but no message to put them in`, {
      where,
      hint: 'add a user message',
    });
  }
  const missing = Array.from({ length: images - tags }, (): Piece => ({ type: 'text', text: IMAGE_TAG }));
  return turns.map((turn, i) => (i === first ? { ...turn, pieces: [...missing, ...turn.pieces] } : turn));
}

const tagsIn = (piece: Piece): number => (piece.type === 'image' ? 1 : piece.text.split(IMAGE_TAG).length - 1);

function qwenPieces(piece: Piece): readonly Piece[] {
  if (piece.type === 'image' || !piece.text.includes('<img>')) return [piece];
  return piece.text
    .split(QWEN_TAG)
    .map((text, i): Piece => (i % 2 === 1 ? { type: 'image', own: text } : { type: 'text', text }));
}

/** Joins adjacent text parts. Content that is a single text becomes a string. */
function joined(parts: readonly ContentPart[]): Message['content'] {
  const result: ContentPart[] = [];
  for (const part of parts) {
    const last = result.at(-1);
    if (part.type === 'text' && last?.type === 'text')
      result[result.length - 1] = { type: 'text', text: last.text + part.text };
    else result.push(part);
  }
  if (result.length === 0) return '';
  const [only] = result;
  return result.length === 1 && only?.type === 'text' ? only.text : result;
}
