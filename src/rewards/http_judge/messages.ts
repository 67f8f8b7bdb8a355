/**
 * The JSON of requests to the HTTP judge and of its answers. docs/rewards.md describes the protocol.
 * Knows fields and checks them; sends nothing.
 */
import { type ContentPart, type Message, splitAnswer } from '../../data/messages.ts';
import type { RewardKwargs } from '../contract.ts';
import { excerpt, quoted } from './exchange.ts';

/** Completions from `first` up to, not including, `end`. */
export interface Slice {
  readonly first: number;
  readonly end: number;
}

/** The judge's answer for one completion. */
export interface Verdict {
  readonly value: number | null;
  readonly reason: string | null;
}

/**
 * The body of a request about some completions of a batch. Images are not sent.
 *
 * @param call number of this call of the reward, so that ids are unique in a run
 */
export function requestBody(
  completions: readonly string[],
  kwargs: RewardKwargs,
  columns: readonly string[],
  call: number,
  { first, end }: Slice,
): string {
  const { trainer_state, num_generations, messages } = kwargs;
  const indices = Array.from({ length: end - first }, (_, i) => first + i);
  const prompts = new Map<unknown, unknown>();
  return JSON.stringify({
    step: trainer_state.global_step,
    max_steps: trainer_state.max_steps,
    ids: indices.map((i) => `${trainer_state.global_step}-${call}-${i}`),
    groups: indices.map((i) => Math.floor(i / num_generations)),
    completions: indices.map((i) => completions[i]),
    messages: indices.map((i) => {
      const conversation = messages[i] as readonly Message[];
      if (!prompts.has(conversation)) prompts.set(conversation, promptOf(conversation));
      return prompts.get(conversation);
    }),
    columns: Object.fromEntries(
      columns.map((name) => [name, indices.map((i) => (kwargs[name] as readonly unknown[] | undefined)?.[i] ?? null)]),
    ),
  });
}

/**
 * The verdicts in an answer: `{"rewards": [1, null], "reasons": [null, "empty"]}`, where `reasons` are optional, or the list of
 * numbers alone.
 *
 * @returns one verdict per completion, or the fault as a clause
 */
export function verdictsOf(text: string, samples: number, token: string | null): readonly Verdict[] | string {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    const nan = /[[,:]\s*-?(?:NaN|Infinity)\b/.test(text) ? '; NaN and Infinity are no JSON: send null' : '';
    return `is not JSON${nan}: ${quoted(text, token)}`;
  }
  const isObject = typeof body === 'object' && body !== null && !Array.isArray(body);
  const { rewards, reasons = null } = (isObject ? body : { rewards: body }) as Record<string, unknown>;
  if (!Array.isArray(rewards)) return `has no list of numbers under "rewards": ${quoted(text, token)}`;
  if (rewards.length !== samples) return `has ${rewards.length} rewards for ${samples} completions`;
  if (reasons !== null && (!Array.isArray(reasons) || reasons.length !== samples)) {
    return `has "reasons" that are not a list of ${samples}: ${jsonOf(reasons, token)}`;
  }
  const verdicts: Verdict[] = [];
  for (let i = 0; i < samples; i++) {
    const value: unknown = rewards[i];
    const reason: unknown = reasons?.[i] ?? null;
    if (value !== null && !(typeof value === 'number' && Number.isFinite(value))) {
      return `has ${jsonOf(value, token)} as reward ${i}, expected a finite number or null`;
    }
    if (reason !== null && typeof reason !== 'string') {
      return `has ${jsonOf(reason, token)} as reason ${i}, expected a text or null`;
    }
    verdicts.push({ value, reason: reason === null ? null : shortened(reason, token) });
  }
  return verdicts;
}

// --- internal ---

/** A value of an answer, as JSON; a number beyond the range of float64 as Infinity. */
function jsonOf(value: unknown, token: string | null): string {
  return typeof value === 'number' ? String(value) : excerpt(JSON.stringify(value), token);
}

const LONGEST_REASON = 2000;

function shortened(reason: string, token: string | null): string {
  return (token === null ? reason : reason.replaceAll(token, '***')).slice(0, LONGEST_REASON);
}

/** The conversation before the completion, in the form of chat completions, without image data. */
function promptOf(messages: readonly Message[]): unknown {
  return splitAnswer(messages).prompt.map(({ role, content }) => ({
    role,
    content: typeof content === 'string' ? content : content.map(partOf),
  }));
}

function partOf(part: ContentPart): unknown {
  switch (part.type) {
    case 'image':
      return { type: 'image' };
    case 'box':
      return { type: 'box', corners: part.corners, unit: part.unit, image: part.image };
    case 'ref':
    case 'text':
      return { type: part.type, text: part.text };
  }
}
