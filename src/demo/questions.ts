/**
 * The demo's questions about a picture, and two styles of answers: looking at it, or repeating the language prior.
 * Knows sentences, not pixels, tokens or files.
 */
import type { Random } from '../util/random.ts';
import { type Item, PRIOR, pick } from './shapes.ts';

/** The system prompt of the demo, for `--system`; the same sentence as examples/train/grpo/prompt.txt. */
export const SYSTEM_PROMPT = 'Look at the picture, think, then answer.';

export type Task = 'colour' | 'count' | 'place' | 'what';
/** `look` says what the picture shows; `lazy` always says what is usual. */
export type Style = 'look' | 'lazy';

/** A question about a picture with its true answer. */
export interface Question {
  readonly task: Task;
  readonly text: string;
  /** The text between the answer tags of a correct reply. */
  readonly answer: string;
  /** The item that the question is about; null if it is about all of them. */
  readonly item: Item | null;
}

const NUMBERS = ['zero', 'one', 'two', 'three'] as const;

/**
 * `What colour is the circle?`
 *
 * @param hint whether a sentence that states the prior, not the picture's content, comes before the question
 */
export function colourQuestion(item: Item, hint: boolean): Question {
  const text = `${hint ? `${priorSentence(item)} ` : ''}What colour is the ${item.shape}?`;
  return { task: 'colour', text, answer: item.colour, item };
}

/** A question without a prior: how many, where, or what. These questions train the vision tower. */
export function auxiliaryQuestion(random: Random, items: readonly Item[]): Question {
  const item = pick(random, items);
  switch (random.int(3)) {
    case 0:
      return { task: 'count', text: 'How many shapes are there?', answer: NUMBERS[items.length]!, item: null };
    case 1:
      return { task: 'place', text: `Where is the ${item.shape}?`, answer: item.place, item };
    default:
      return { task: 'what', text: `What is at the ${item.place}?`, answer: `${item.colour} ${item.shape}`, item };
  }
}

/** The full reply to a question: `<think>...</think><answer>...</answer>`. `lazy` is possible for colour questions only. */
export function reply(question: Question, items: readonly Item[], style: Style): string {
  const { task, item } = question;
  if (style === 'lazy') {
    if (task !== 'colour' || item === null) throw new Error(`internal: no lazy reply to a ${task} question`);
    const usual = PRIOR[item.shape];
    return tagged(`${priorSentence(item)} So it is ${usual}.`, usual);
  }
  if (item === null) return tagged(`I see ${joined(items.map(described))}.`, question.answer);
  const thought =
    task === 'colour'
      ? `I see a ${item.shape} at the ${item.place}. It is ${item.colour}.`
      : `I see ${described(item)} at the ${item.place}.`;
  return tagged(thought, question.answer);
}

/** The answer in its tags, for the column `solution`. */
export function solution(question: Question): string {
  return `<answer>${question.answer}</answer>`;
}

// --- internal ---

function priorSentence(item: Item): string {
  return `Most ${item.shape}s are ${PRIOR[item.shape]}.`;
}

function described(item: Item): string {
  return `a ${item.colour} ${item.shape}`;
}

function joined(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}

function tagged(thought: string, answer: string): string {
  return `<think>${thought}</think><answer>${answer}</answer>`;
}
