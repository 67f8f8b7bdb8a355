/**
 * Groups a row's messages into the turns of a chat, each a list of text and image pieces.
 * Knows ms-swift's rules for which messages share a turn, not what placeholders stand for.
 */
import { isJsonObject, shownJson } from '../util/json.ts';
import { invalidRow, inWords } from './columns.ts';
import type { RawMessage } from './conversation.ts';
import type { Role } from './messages.ts';
import { toolCallText, toolResponseText } from './tools.ts';

/** Text that may hold placeholders, or an image. */
export type Piece =
  | { readonly type: 'text'; readonly text: string }
  /** `own` is the image that the message itself gives; undefined for an image from the `images` column. */
  | { readonly type: 'image'; readonly own: unknown };

export interface Turn {
  readonly role: Role;
  readonly pieces: readonly Piece[];
}

/**
 * Merges adjacent messages of one role into one turn, without a space between them. Tool calls belong to the assistant, and
 * tool responses form a user turn of their own. A conversation that begins with the assistant gets an empty user turn first.
 * Error: E_DATASET_ROW.
 */
export function turnsOf(messages: readonly RawMessage[], where: string): readonly Turn[] {
  checkLoss(messages, where);
  const turns: { role: Role; pieces: Piece[] }[] = [];
  let before: RawMessage['role'] | null = null;
  for (const message of messages) {
    const { role } = message;
    const last = turns.at(-1);
    const speaker = SPEAKER[role];
    if (role === 'tool_response') checkPlace(message, before, last, where);
    if (speaker === 'assistant' && (last === undefined || last.role === 'system'))
      turns.push({ role: 'user', pieces: [] });
    const pieces = piecesOf(message, where);
    const isSame = last !== undefined && last.role === speaker && speaker !== 'system';
    const isShared = isSame && (role === 'tool_response') === (before === 'tool_response');
    const isList = role === before && (role === 'tool_call' || role === 'tool_response');
    if (isShared) last.pieces.push(...(isList ? [NEWLINE] : []), ...pieces);
    else turns.push({ role: speaker, pieces: [...pieces] });
    before = role;
  }
  return turns;
}

// --- internal ---

const NEWLINE: Piece = { type: 'text', text: '\n' };

const SPEAKER: Readonly<Record<RawMessage['role'], Role>> = {
  system: 'system',
  user: 'user',
  assistant: 'assistant',
  tool_call: 'assistant',
  tool_response: 'user',
};

const LOSS_HINT =
  'training uses the last answer only, with weight 1: write one row for each answer that should be trained on';

/** Training uses the last answer only, so a row whose loss settings ask for anything else is refused. */
function checkLoss(messages: readonly RawMessage[], where: string): void {
  const isAnswer = ({ role }: RawMessage): boolean => SPEAKER[role] === 'assistant';
  const end = messages.findLastIndex((message) => !isAnswer(message)) + 1;
  for (const [i, message] of messages.entries()) {
    const { name, loss = null, lossScale = null } = message;
    if (!isAnswer(message)) continue;
    const weight = lossScale ?? (loss === null ? null : Number(Boolean(loss)));
    const isOff = loss !== null && !loss;
    const asked = isOff ? 0 : weight;
    if (asked === null || asked === (i >= end ? 1 : 0)) continue;
    const given =
      isOff || lossScale === null ? `"loss": ${shownJson(loss, 20)}` : `"loss_scale": ${shownJson(lossScale, 20)}`;
    throw invalidRow(`${name} has ${given}, which is not supported`, where, LOSS_HINT);
  }
}

/** A tool response must follow a call by the assistant, or a user message that stands in for one. */
function checkPlace(
  message: RawMessage,
  before: RawMessage['role'] | null,
  last: Turn | undefined,
  where: string,
): void {
  if (before === null || before === 'system') {
    throw invalidRow(
      `${message.name} is a tool response with nothing before it`,
      where,
      'put it after a tool_call, assistant or user message',
    );
  }
  const said = last?.pieces.map((piece) => (piece.type === 'text' ? piece.text : '')).join('') ?? '';
  if (before === 'assistant' && said.includes('Action:') && said.includes('Action Input:')) {
    throw invalidRow(
      `${message.name} is a tool response to a call in ReAct form ("Action:", "Action Input:"), which is not supported`,
      where,
      'write the call as {"role": "tool_call", "content": {"name": ..., "arguments": {...}}}',
    );
  }
}

function piecesOf({ role, content, name }: RawMessage, where: string): readonly Piece[] {
  if (role === 'tool_call') return [{ type: 'text', text: toolCallText(content, name, where) }];
  if (role === 'tool_response' && content !== undefined && content !== null) {
    return [{ type: 'text', text: toolResponseText(content) }];
  }
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  if (!Array.isArray(content)) {
    const found = content === undefined ? 'no content' : `${inWords(content)} for content`;
    throw invalidRow(`${name} has ${found}, expected a text or a list of parts`, where, PARTS_HINT);
  }
  return content.map((part: unknown): Piece => {
    if (typeof part === 'string') return { type: 'text', text: part };
    if (isJsonObject(part)) {
      if (typeof part.text === 'string' && (part.type === undefined || part.type === 'text')) {
        return { type: 'text', text: part.text };
      }
      if (part.type === 'image' || part.type === 'image_url') {
        const own = part.image ?? part.image_url ?? part.path ?? part.url ?? part.bytes ?? sourceOf(part.source);
        return { type: 'image', own: own ?? undefined };
      }
      if (typeof part.type === 'string') {
        const hint = TOOL_PARTS.has(part.type)
          ? 'write it as a message of the role tool_call or tool_response'
          : PARTS_HINT;
        throw invalidRow(`${name} has a part of type ${shownJson(part.type, 40)}, expected text or image`, where, hint);
      }
    }
    throw invalidRow(`${name} has ${inWords(part)} for a part, expected a text or an image`, where, PARTS_HINT);
  });
}

const PARTS_HINT =
  'a list of parts looks like [{"type": "image", "image": "a.png"}, {"type": "text", "text": "How many?"}]';

/** Part types for tool calls and responses in Anthropic's message format. */
const TOOL_PARTS: ReadonlySet<string> = new Set(['tool_use', 'tool_result']);

/** An image in Anthropic's format: {"type": "base64", "media_type": ..., "data": ...} or {"type": "url", "url": ...}. */
function sourceOf(source: unknown): unknown {
  if (!isJsonObject(source)) return undefined;
  if (typeof source.data !== 'string') return source.url;
  return `data:${typeof source.media_type === 'string' ? source.media_type : 'image/png'};base64,${source.data}`;
}
