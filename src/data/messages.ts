/**
 * Conversations as the rest of the project passes them around: roles, texts, and places for images and objects.
 * Knows no files, no tokens and no chat template.
 */

export type Role = 'system' | 'user' | 'assistant';
export const ROLES: readonly Role[] = ['system', 'user', 'assistant'];

/** A place for an image; which image it is, is told by its position among the row's images. */
export interface ImagePart {
  readonly type: 'image';
  readonly image?: unknown;
}

export interface TextPart {
  readonly type: 'text';
  readonly text: string;
}

/** The name of an object in a picture: `<ref-object>` in the row. */
export interface RefPart {
  readonly type: 'ref';
  readonly text: string;
}

/** A box or a point in a picture: `<bbox>` in the row. */
export interface BoxPart extends Box {
  readonly type: 'box';
}

export interface Box {
  /** x, y or x1, y1, x2, y2, with x1 <= x2 and y1 <= y2. */
  readonly corners: readonly number[];
  /** Pixels of the picture as it is stored, or fractions of its sides. */
  readonly unit: 'pixels' | 'fractions';
  /** Which of the row's images it lies in, from 0. */
  readonly image: number;
}

export type ContentPart = TextPart | ImagePart | RefPart | BoxPart;

export interface Message {
  readonly role: Role;
  readonly content: string | readonly ContentPart[];
}

/** What stands for an image, for the name of an object and for its box in a text, as in ms-swift. */
export const IMAGE_TAG = '<image>';
export const REF_TAG = '<ref-object>';
export const BOX_TAG = '<bbox>';

/** Text with `<image>` tags -> parts; a text without a tag stays a string. */
export function splitImageTags(text: string): string | ContentPart[] {
  const pieces = text.split(IMAGE_TAG);
  if (pieces.length === 1) return text;
  return pieces.flatMap((piece, i): ContentPart[] => [
    ...(i > 0 ? [{ type: 'image' } as const] : []),
    ...(piece === '' ? [] : [{ type: 'text', text: piece } as const]),
  ]);
}

/** The parts of a content, a text being one of them; an empty text is none. */
export function partsOf(content: Message['content']): readonly ContentPart[] {
  if (typeof content !== 'string') return content;
  return content === '' ? [] : [{ type: 'text', text: content }];
}

/** Places for images in a conversation. */
export function countImages(messages: readonly Message[]): number {
  return messages.reduce((sum, { content }) => sum + partsOf(content).filter(({ type }) => type === 'image').length, 0);
}

/** Whether a message says nothing at all. */
export function isEmpty({ content }: Message): boolean {
  return partsOf(content).every((part) => part.type === 'text' && part.text === '');
}

/**
 * Splits off a last assistant message: the prompt to continue, and what the dataset says comes next (null if nothing).
 */
export function splitAnswer(messages: readonly Message[]): {
  prompt: readonly Message[];
  answer: Message | null;
} {
  const last = messages.at(-1);
  if (last?.role !== 'assistant') return { prompt: messages, answer: null };
  return { prompt: messages.slice(0, -1), answer: last };
}
