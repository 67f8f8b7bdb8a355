/**
 * Puts a row's images and objects where its tags stand, in their order, through all turns.
 * Knows ms-swift's tags and what it does where there are too few or too many; reads no image.
 */
import { SightlineError } from '../errors.ts';
import { invalidRow } from './columns.ts';
import { BOX_TAG, type ContentPart, IMAGE_TAG, type Message, REF_TAG } from './messages.ts';
import type { Objects } from './objects.ts';
import type { Piece, Turn } from './turns.ts';

/** Something about a row that its author should know, though it can be used. */
export type RowNote = 'more tags than images' | 'more placeholders than objects';

export interface Placed {
  readonly messages: readonly Message[];
  /** One per place for an image, in order, as the row gives them. */
  readonly images: readonly unknown[];
  readonly notes: readonly RowNote[];
}

/** How many images the turns and the `images` column give. */
export function countGiven(turns: readonly Turn[], listed: readonly unknown[]): number {
  return listed.length + ownImages(turns).length;
}

/** `<img>path</img>`, the tag of Qwen-VL, holds an image itself. It counts only where the row has no others, as in ms-swift. */
export function withQwenTags(turns: readonly Turn[], listed: readonly unknown[]): readonly Turn[] {
  if (countGiven(turns, listed) > 0) return turns;
  return turns.map((turn) => (turn.role === 'system' ? turn : { ...turn, pieces: turn.pieces.flatMap(qwenPieces) }));
}

/**
 * The first tags get the images; tags beyond them stay text. Images without a tag go in front of the first turn after the
 * system prompt.
 *
 * @param listed the `images` column
 * @param objects null without that column: its placeholders are ordinary text then
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
  // A part keeps its own image only beside a column of others; else all of them go to the tags in order.
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
      if (given === 0) throw invalidRow('a <bbox> of the row has no image that it could lie in', where, BOX_HINT);
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
      `the last answer has ${IMAGE_TAG}, but pictures are not answers here`,
      where,
      'put the tag into a message before it',
    );
  }
  return { messages, images, notes: [...notes] };
}

// --- internal ---

const TAGS = new RegExp(`(${IMAGE_TAG}|${REF_TAG}|${BOX_TAG})`);
/** No other tag inside, so that a text of many openings is gone through once. */
const QWEN_TAG = /<img>([^<\n]+)<\/img>/;
const BOX_HINT = 'boxes are scaled as their image is: give the row its "images"';

const isImage = ({ type }: ContentPart): boolean => type === 'image';

const ownImages = (turns: readonly Turn[]): readonly unknown[] =>
  turns.flatMap(({ pieces }) =>
    pieces.flatMap((piece) => (piece.type === 'image' && piece.own !== undefined ? [piece.own] : [])),
  );

/** The turns with a tag for each image that has none. */
function tagged(turns: readonly Turn[], images: number, where: string): readonly Turn[] {
  const tags = turns.reduce((sum, { pieces }) => sum + pieces.reduce((count, piece) => count + tagsIn(piece), 0), 0);
  if (tags >= images) return turns;
  const first = turns.findIndex(({ role }) => role !== 'system');
  if (first < 0) {
    throw new SightlineError('E_IMAGE_COUNT', `the row has images, but no message that could show them`, {
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

/** One text for neighbouring ones, and a plain text where there is nothing else. */
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
