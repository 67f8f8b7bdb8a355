/**
 * Messages as the chat template gets them: roles checked, control tokens in texts escaped, names and boxes written out.
 */
import { type ContentPart, type Message, partsOf, ROLES } from '../data/messages.ts';
import { SightlineError } from '../errors.ts';
import { isJsonObject } from '../util/json.ts';
import type { ControlTokenEscape } from './escape_control_tokens.ts';
import { boxText, refText, sizeFor } from './grounding.ts';
import type { ProcessedImage } from './image_cache.ts';

/** A role is written next to control tokens without escaping, so only known roles are accepted. */
export function checkMessages(messages: readonly Message[], where: string | undefined): void {
  if (messages.length === 0) {
    throw new SightlineError('E_MESSAGES_INVALID', 'the conversation has no messages', { where });
  }
  const unknown = messages.find(({ role }) => !ROLES.includes(role));
  if (unknown !== undefined) {
    throw new SightlineError(
      'E_MESSAGES_INVALID',
      `role is ${JSON.stringify(unknown.role)}, expected ${ROLES.join(', ')}`,
      {
        where,
      },
    );
  }
}

export function withSystem(messages: readonly Message[], system: string | undefined): readonly Message[] {
  if (system === undefined || messages[0]?.role === 'system') return messages;
  return [{ role: 'system', content: system }, ...messages];
}

export function textsOf(messages: readonly Message[]): string[] {
  return messages.flatMap(({ content }) =>
    partsOf(content).flatMap((part) => (part.type === 'text' || part.type === 'ref' ? [part.text] : [])),
  );
}

/** All texts in a JSON value, including the names of fields. */
export function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [key, ...textsIn(inner)]);
}

export function protectDeep(value: unknown, escaping: ControlTokenEscape): unknown {
  if (typeof value === 'string') return escaping.protect(value);
  if (Array.isArray(value)) return value.map((inner) => protectDeep(inner, escaping));
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [escaping.protect(key), protectDeep(inner, escaping)]),
  );
}

/** A message part as the chat template sees it: text or an image without its content. */
export type WrittenPart = { readonly type: 'text'; readonly text: string } | { readonly type: 'image' };

/** Makes a function that writes parts for the template. Control tokens come only from object names and boxes, around escaped text. */
export function writer(
  escaping: ControlTokenEscape,
  images: readonly ProcessedImage[],
  grounding: Parameters<typeof boxText>[2],
  where: string | undefined,
): (part: ContentPart) => WrittenPart {
  const sizes = images.map(({ size }) => size);
  return (part) => {
    if (part.type === 'image') return { type: 'image' };
    if (part.type === 'text') return { type: 'text', text: escaping.protect(part.text) };
    if (part.type === 'ref') return { type: 'text', text: refText(escaping.protect(part.text), grounding) };
    return { type: 'text', text: boxText(part, sizeFor(part, sizes, where), grounding) };
  };
}
