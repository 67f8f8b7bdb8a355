/**
 * Reads the messages of a row's conversation from any of the supported forms.
 * Knows the column and role names of ms-swift, TRL, OpenAI and Alpaca, not what a message's content holds.
 */
import { isJsonObject, type JsonObject, shownJson } from '../util/json.ts';
import { type Columns, firstColumn, invalidRow, inWords, listOf, shownNames } from './columns.ts';
import { parsePythonLiteral } from './python_literal.ts';

export type RawRole = 'system' | 'user' | 'assistant' | 'tool_call' | 'tool_response';

/** A message as the row has it; its content is unchecked. */
export interface RawMessage {
  readonly role: RawRole;
  readonly content: unknown;
  /** The name of the message in errors. */
  readonly name: string;
  /** ms-swift's settings for whether this message is trained on, and with which weight. */
  readonly loss?: unknown;
  readonly lossScale?: unknown;
}

export interface Conversation {
  readonly messages: readonly RawMessage[];
  /** Columns that only the conversation uses, as the row spells them. Columns that rewards may read as well are not listed. */
  readonly used: readonly string[];
}

/** Columns that hold the conversation. Rewards do not get them. */
export const CONVERSATION_COLUMNS = [
  'messages',
  'conversations',
  'conversation',
  'system',
  'system_prompt',
  'query',
  'history',
  'response',
] as const;

/**
 * Uses the first form that fits: a list of messages (`messages`, `conversations`, `conversation`, or a `prompt` that is a
 * list), Alpaca (`instruction` and `input`), or one question (`query`, `prompt`, `question`, `problem`, `instruction`,
 * `input`) with optional `history` and answer.
 * Error: E_DATASET_ROW.
 */
export function conversationOf(json: JsonObject, columns: Columns, where: string): Conversation {
  const listed = firstColumn(columns, MESSAGE_COLUMNS) ?? promptOfMessages(columns);
  const system = firstColumn(columns, SYSTEM_COLUMNS);
  const before: RawMessage[] =
    system === null ? [] : [{ role: 'system', content: system.value, name: shownJson(system.key, 40) }];
  const usedBefore = system === null ? [] : [system.key];
  if (listed !== null) {
    const messages = messagesOf(parsedText(listed.value), shownJson(listed.key, 40), where);
    const completion = MESSAGE_COLUMNS.some((name) => columns.has(name)) ? null : columns.get('completion');
    const answer = completion === null || completion === undefined ? [] : completionOf(completion.value, where);
    return {
      messages: [...(messages[0]?.role === 'system' ? [] : before), ...messages, ...answer],
      used: [...usedBefore, listed.key, ...(answer.length > 0 && completion ? [completion.key] : [])],
    };
  }
  const question = questionOf(json, columns, where);
  const answer = answerOf(columns, question.isAlpaca);
  const history = columns.get('history');
  const consumed = [history, columns.get('response')].filter((column) => column !== undefined);
  return {
    messages: [
      ...before,
      ...historyOf(history?.value, where),
      { role: 'user', content: question.content, name: question.name },
      ...(answer === null ? [] : [{ role: 'assistant', content: answer.content, name: answer.name } as const]),
    ],
    used: [...usedBefore, ...question.used, ...consumed.map(({ key }) => key)],
  };
}

// --- internal ---

const MESSAGE_COLUMNS = ['messages', 'conversations', 'conversation'] as const;
const SYSTEM_COLUMNS = ['system', 'system_prompt'] as const;
/** Columns that ms-swift accepts as the question of a row without messages. */
const QUESTION_COLUMNS = ['query', 'prompt', 'question', 'problem', 'instruction', 'input'] as const;
/** Columns that ms-swift accepts as its answer, provided that the row has exactly one of them. */
const ANSWER_COLUMNS = [
  'answer',
  'output',
  'targets',
  'target',
  'answer_key',
  'answers',
  'solution',
  'text',
  'completion',
  'content',
] as const;

const ROLE_NAMES: ReadonlyMap<unknown, RawRole> = new Map<unknown, RawRole>([
  ['system', 'system'],
  ['user', 'user'],
  ['human', 'user'],
  ['assistant', 'assistant'],
  ['gpt', 'assistant'],
  ['bot', 'assistant'],
  ['tool_call', 'tool_call'],
  ['function_call', 'tool_call'],
  ['function-call', 'tool_call'],
  ['tool', 'tool_response'],
  ['tool_response', 'tool_response'],
  ['function_response', 'tool_response'],
  ['function-response', 'tool_response'],
  ['observation', 'tool_response'],
  ['observations', 'tool_response'],
]);

const HINT =
  'a row looks like {"messages": [{"role": "user", "content": "<image>How many?"}], "images": ["a.png"], "solution": "3"}; docs/dataset.md lists all forms';

/** TRL's prompt is a list of messages, in a column that holds a text in other formats. */
function promptOfMessages(columns: Columns): { key: string; value: unknown } | null {
  const prompt = columns.get('prompt');
  if (prompt === undefined || !Array.isArray(prompt.value)) return null;
  return prompt.value.some((entry) => isJsonObject(entry) && ('role' in entry || 'from' in entry)) ? prompt : null;
}

/** TRL's completion: a text or a list of messages. */
function completionOf(value: unknown, where: string): readonly RawMessage[] {
  if (typeof value === 'string') return [{ role: 'assistant', content: value, name: '"completion"' }];
  return messagesOf(value, '"completion"', where);
}

/** Some datasets store lists as JSON text, or as the text that Python shows. */
function parsedText(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value);
  } catch {
    return /^\s*[[(]/.test(value) ? (parsePythonLiteral(value) ?? value) : value;
  }
}

function messagesOf(value: unknown, column: string, where: string): readonly RawMessage[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw invalidRow(`${column} is ${inWords(value)}, expected a list of messages`, where, HINT);
  }
  const messages = value.map((message: unknown, i): JsonObject => {
    if (isJsonObject(message)) return message;
    throw invalidRow(`message ${i + 1} is ${inWords(message)}, expected an object with role and content`, where, HINT);
  });
  const first = messages[0]!;
  const isPairs = ['role', 'from', 'content', 'value'].every((key) => !Object.hasOwn(first, key));
  if (isPairs) return messages.flatMap((pair, i) => pairOf(pair, i + 1, where));
  return inOrderOfCalls(messages).flatMap(({ message, number }) => messageOf(message, number, where));
}

/** One of ShareGPT's forms has a question and its answer in one object. */
function pairOf(pair: JsonObject, number: number, where: string): readonly RawMessage[] {
  const name = `message ${number}`;
  const user = ['human', 'user'].find((key) => Object.hasOwn(pair, key));
  const assistant = ['gpt', 'bot', 'assistant'].find((key) => Object.hasOwn(pair, key));
  if (user === undefined || assistant === undefined) {
    throw invalidRow(`${name} is ${inWords(pair)}, expected an object with role and content`, where, HINT);
  }
  return [
    { role: 'user', content: pair[user], name },
    { role: 'assistant', content: pair[assistant], name },
  ];
}

interface Numbered {
  readonly message: JsonObject;
  readonly number: number;
}

/** OpenAI's tool responses name their call by id. This sorts them into the order of the calls. */
function inOrderOfCalls(messages: readonly JsonObject[]): readonly Numbered[] {
  const ordered = messages.map((message, i): Numbered => ({ message, number: i + 1 }));
  for (let i = 0; i < ordered.length; i++) {
    const ids = toolCallsOf(ordered[i]!.message).map((call) => (isJsonObject(call) ? call.id : undefined));
    if (ids.length === 0) continue;
    const responses = ordered.slice(i + 1, i + 1 + ids.length);
    const callOf = (response: Numbered): number => ids.indexOf(response.message.tool_call_id);
    const next = ordered[i + 1 + ids.length];
    // Sorts only if each call has exactly one response.
    const isComplete =
      new Set(ids).size === ids.length &&
      !ids.includes(undefined) &&
      !ids.includes(null) &&
      (next === undefined || !isToolResponse(next)) &&
      responses.length === ids.length &&
      responses.every(isToolResponse) &&
      new Set(responses.map(callOf)).size === ids.length &&
      responses.every((response) => callOf(response) >= 0);
    if (isComplete) {
      ordered.splice(i + 1, ids.length, ...responses.sort((a, b) => callOf(a) - callOf(b)));
    }
  }
  return ordered;
}

const isToolResponse = ({ message }: Numbered): boolean => ROLE_NAMES.get(roleOf(message)) === 'tool_response';

const roleOf = (message: JsonObject): unknown => message.role ?? message.from;

const toolCallsOf = (message: JsonObject): readonly unknown[] =>
  roleOf(message) === 'assistant' ? listOf(message.tool_calls) : [];

function messageOf(message: JsonObject, number: number, where: string): readonly RawMessage[] {
  const name = `message ${number}`;
  const given = roleOf(message);
  const role = ROLE_NAMES.get(given);
  if (role === undefined) {
    throw invalidRow(
      `${name} has ${given === undefined ? 'no role' : `the role ${typeof given === 'string' ? shownJson(given, 40) : inWords(given)}`}, expected system, user, assistant, tool_call or tool_response`,
      where,
      HINT,
    );
  }
  const content = Object.hasOwn(message, 'content') ? message.content : message.value;
  const weight = { loss: message.loss, lossScale: message.loss_scale };
  const calls = toolCallsOf(message);
  const hasCallsOnly = calls.length > 0 && (content === undefined || content === null || content === '');
  return [
    ...(hasCallsOnly ? [] : [{ role, content, name, ...weight }]),
    ...calls.map((call): RawMessage => {
      // A call without the key "function" has name and arguments at its top level.
      const content = isJsonObject(call) && isJsonObject(call.function) ? call.function : call;
      return { role: 'tool_call', content, name, ...weight };
    }),
  ];
}

interface Question {
  readonly content: unknown;
  readonly name: string;
  readonly used: readonly string[];
  readonly isAlpaca: boolean;
}

function questionOf(json: JsonObject, columns: Columns, where: string): Question {
  const names = new Set(Object.keys(json).map((key) => key.toLowerCase()));
  if (names.has('instruction') && names.has('input')) {
    const given = [columns.get('instruction'), columns.get('input')].filter((column) => column !== undefined);
    const filled = given.filter(({ value }) => value !== '');
    const texts = filled.map(({ key, value }) => {
      if (typeof value === 'string') return value;
      throw invalidRow(`${shownJson(key, 40)} is ${inWords(value)}, expected a text`, where, HINT);
    });
    if (texts.length === 0) throw invalidRow('"instruction" and "input" are both empty', where, HINT);
    return { content: texts.join('\n'), name: '"instruction"', used: given.map(({ key }) => key), isAlpaca: true };
  }
  const column = firstColumn(columns, QUESTION_COLUMNS);
  if (column === null) {
    const found = Object.keys(json);
    throw invalidRow(
      `the row has no messages and no question; ${found.length === 0 ? 'it is empty' : `its columns are ${shownNames(found)}`}`,
      where,
      HINT,
    );
  }
  return { content: column.value, name: shownJson(column.key, 40), used: [column.key], isAlpaca: false };
}

/** The answer of a row without messages. Of a list of answers, the first one counts. */
function answerOf(columns: Columns, isAlpaca: boolean): { content: unknown; name: string } | null {
  const output = isAlpaca ? columns.get('output') : undefined;
  const given = output ?? columns.get('response') ?? onlyOne(columns, ANSWER_COLUMNS);
  if (given === null) return null;
  const content: unknown = Array.isArray(given.value) ? given.value[0] : given.value;
  // Rewards may use columns of these names for values of any type. Only a text counts as an answer.
  if (typeof content !== 'string' && !columns.has('response')) return null;
  return { content, name: shownJson(given.key, 40) };
}

function onlyOne(columns: Columns, names: readonly string[]): { key: string; value: unknown } | null {
  const found = names.filter((name) => columns.has(name));
  return found.length === 1 ? columns.get(found[0]!)! : null;
}

function historyOf(value: unknown, where: string): readonly RawMessage[] {
  const pairs = value === undefined ? [] : parsedText(value);
  if (!Array.isArray(pairs)) {
    throw invalidRow(`"history" is ${inWords(value)}, expected a list of [query, response] pairs`, where, HINT);
  }
  return pairs.flatMap((pair: unknown, i): readonly RawMessage[] => {
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw invalidRow(`"history" holds ${inWords(pair)}, expected a [query, response] pair`, where, HINT);
    }
    const name = `pair ${i + 1} of "history"`;
    const messages: readonly RawMessage[] = [
      { role: 'user', content: pair[0], name },
      { role: 'assistant', content: pair[1], name },
    ];
    return messages.filter(({ content }) => content !== null);
  });
}
