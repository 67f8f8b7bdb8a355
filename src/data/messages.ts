/**
 * Conversations as the rest of the project passes them around: roles, texts, and parts for images and objects.
 * Knows no files, no tokens and no chat template.
 */

export type Role = 'system' | 'user' | 'assistant';
export const ROLES: readonly Role[] = ['system', 'user', 'assistant'];

/** Stands for an image. The n-th image part of a conversation stands for the n-th image of the row. */
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
  /** Index of its image among the images of the row, from 0. */
  readonly image: number;
}

export type ContentPart = TextPart | ImagePart | RefPart | BoxPart;

export interface Message {
  readonly role: Role;
  readonly content: string | readonly ContentPart[];
}

/** Tags in a text that stand for an image, an object's name and an object's box, as in ms-swift. */
export const IMAGE_TAG = '<image>';
export const REF_TAG = '<ref-object>';
export const BOX_TAG = '<bbox>';

/** Splits a text at its `<image>` tags into parts; a text without a tag stays a string. */
export function splitImageTags(text: string): string | ContentPart[] {
  const pieces = text.split(IMAGE_TAG);
  if (pieces.length === 1) return text;
  return pieces.flatMap((piece, i): ContentPart[] => [
    ...(i > 0 ? [{ type: 'image' } as const] : []),
    ...(piece === '' ? [] : [{ type: 'text', text: piece } as const]),
  ]);
}

/** The parts of a message's content. A string is one text part, an empty string no part. */
export function partsOf(content: Message['content']): readonly ContentPart[] {
  if (typeof content !== 'string') return content;
  return content === '' ? [] : [{ type: 'text', text: content }];
}

/** The number of image parts in a conversation. */
export function countImages(messages: readonly Message[]): number {
  return messages.reduce((sum, { content }) => sum + partsOf(content).filter(({ type }) => type === 'image').length, 0);
}

/** Whether a message has neither text nor images. */
export function isEmpty({ content }: Message): boolean {
  return partsOf(content).every((part) => part.type === 'text' && part.text === '');
}

/** Splits a conversation into the prompt and the final assistant message; `answer` is null if the last message is no answer. */
export function splitAnswer(messages: readonly Message[]): {
  prompt: readonly Message[];
  answer: Message | null;
} {
  const last = messages.at(-1);
  if (last?.role !== 'assistant') return { prompt: messages, answer: null };
  return { prompt: messages.slice(0, -1), answer: last };
}
