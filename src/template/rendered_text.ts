/**
 * What a chat template has written: its system block, and its image pads, of which each becomes one token per visual token.
 */
import { SightlineError } from '../errors.ts';
import type { ChatTemplate } from './chat_template.ts';
import { type SpecialNames, TURN_END, TURN_START } from './special_tokens.ts';
import { concat } from './tokenizer.ts';

/** Removes the empty system block from the rendered text. */
export function withoutSystemBlock(rendered: string, chat: ChatTemplate): string {
  const block = `${TURN_START}system\n${TURN_END}\n`;
  if (rendered.startsWith(block)) return rendered.slice(block.length);
  throw new SightlineError(
    'E_TEMPLATE_INVALID',
    'the chat template does not write an empty system block for an empty system message',
    {
      where: chat.where,
      hint: 'use a system prompt that is not empty, or the template that the model was published with',
    },
  );
}

/** The leading system block of the rendered text, including its end; empty if there is none. */
export function systemBlock(rendered: string): string {
  if (!rendered.startsWith(`${TURN_START}system`)) return '';
  const end = rendered.indexOf(`${TURN_END}\n`);
  return end === -1 ? '' : rendered.slice(0, end + TURN_END.length + 1);
}

/** Repeats each image pad once per visual token of its image. */
export function expand(ids: Int32Array, imageTokenId: number, pads: readonly number[]): Int32Array {
  let image = 0;
  const parts: Int32Array[] = [];
  let from = 0;
  for (let at = ids.indexOf(imageTokenId); at !== -1; at = ids.indexOf(imageTokenId, at + 1)) {
    parts.push(ids.subarray(from, at), new Int32Array(pads[image++]!).fill(imageTokenId));
    from = at + 1;
  }
  return concat([...parts, ids.subarray(from)]);
}

export function checkPads(rendered: string, names: SpecialNames, images: number, chat: ChatTemplate): void {
  const pads = rendered.split(names.imagePad).length - 1;
  const videos = names.videoPad === undefined ? 0 : rendered.split(names.videoPad).length - 1;
  if (pads === images && videos === 0) return;
  throw new SightlineError(
    'E_TEMPLATE_INVALID',
    `the chat template wrote ${pads} image and ${videos} video pads for ${images} images`,
    {
      where: chat.where,
      hint: 'use the template that the model was published with',
    },
  );
}
