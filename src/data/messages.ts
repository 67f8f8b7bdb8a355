/**
 * Conversations as the rest of the project passes them around: roles, texts and places for images.
 * Knows no files, no tokens and no chat template.
 */

export type Role = 'system' | 'user' | 'assistant' | 'tool';
export const ROLES: readonly Role[] = ['system', 'user', 'assistant', 'tool'];

/** A place for an image; which image it is, is told by its position among the row's images. */
export interface ImagePart {
  readonly type: 'image';
  readonly image?: unknown;
}

export interface TextPart {
  readonly type: 'text';
  readonly text: string;
}

export type ContentPart = TextPart | ImagePart;

export interface Message {
  readonly role: Role;
  readonly content: string | readonly ContentPart[];
}

/** The tag that stands for an image in a text, as in ms-swift. */
export const IMAGE_TAG = '<image>';

/** Text with `<image>` tags -> parts; a text without a tag stays a string. */
export function splitImageTags(text: string): string | ContentPart[] {
  const pieces = text.split(IMAGE_TAG);
  if (pieces.length === 1) return text;
  return pieces.flatMap((piece, i): ContentPart[] => [
    ...(i > 0 ? [{ type: 'image' } as const] : []),
    ...(piece === '' ? [] : [{ type: 'text', text: piece } as const]),
  ]);
}

/** Places for images in a conversation. */
export function countImages(messages: readonly Message[]): number {
  return messages.reduce(
    (sum, { content }) =>
      sum + (typeof content === 'string' ? 0 : content.filter(({ type }) => type === 'image').length),
    0,
  );
}

/** The text of a message, without its images. */
export function textOf({ content }: Message): string {
  if (typeof content === 'string') return content;
  return content.map((part) => (part.type === 'text' ? part.text : '')).join('');
}

/**
 * Splits off a last assistant message: the prompt to continue, and what the dataset says comes next (null if nothing).
 */
export function splitResponse(messages: readonly Message[]): { prompt: readonly Message[]; response: string | null } {
  const last = messages.at(-1);
  if (last?.role !== 'assistant') return { prompt: messages, response: null };
  return { prompt: messages.slice(0, -1), response: textOf(last) };
}
