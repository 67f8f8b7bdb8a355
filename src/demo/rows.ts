/**
 * Rows of the three demo datasets: supervised ones with the planted prior, and balanced ones for GRPO and evaluation.
 * Knows the proportions and the ms-swift row format, not pixels or files.
 */
import { createRandom, type Random } from '../util/random.ts';
import {
  auxiliaryQuestion,
  colourQuestion,
  type Question,
  reply,
  type Style,
  solution,
  type Task,
} from './questions.ts';
import {
  COLOURS,
  type Colour,
  type Item,
  PLACES,
  type Place,
  PRIOR,
  pick,
  SHAPES,
  type Shape,
  sampleItems,
} from './shapes.ts';

export const KINDS = ['sft', 'grpo', 'eval'] as const;
export type Kind = (typeof KINDS)[number];

/** One line of the JSONL file. `style` is null if the row has no reply. */
export interface DemoRow {
  readonly messages: { readonly role: 'user' | 'assistant'; readonly content: string }[];
  readonly images: string[];
  readonly solution: string;
  readonly task: Task;
  readonly shape: Shape | null;
  readonly colour: Colour | null;
  readonly place: Place | null;
  readonly prior: Colour | null;
  readonly hint: boolean;
  readonly style: Style | null;
}

/** A row and the items in its picture. `pixels` is the random stream for drawing it. */
export interface DemoSample {
  readonly row: DemoRow;
  readonly items: readonly Item[];
  readonly pixels: Random;
}

// Shares of the supervised rows. docs/demo.md gives the reasons.
const AUXILIARY_SHARE = 0.4;
const HINT_SHARE = 0.5;
const PRIOR_SHARE = 0.9;
const LAZY_SHARE = { withHint: 0.7, withoutHint: 0.2 } as const;

/** Row `index` of a dataset. It depends only on kind, seed and index, so a longer dataset begins with the rows of a shorter one. */
export function demoSample(kind: Kind, seed: number, index: number): DemoSample {
  const stream = createRandom(seed).fork(kind);
  const random = stream.fork(`row ${index}`);
  const { question, items, hint, style } =
    kind === 'sft' ? supervised(random) : balanced(random, blockOf(stream, index)[index % BLOCK.length]!);
  const messages: DemoRow['messages'] = [{ role: 'user', content: `<image>${question.text}` }];
  if (style !== null) messages.push({ role: 'assistant', content: reply(question, items, style) });
  const { item } = question;
  const row: DemoRow = {
    messages,
    images: [`images/${String(index).padStart(5, '0')}.png`],
    solution: solution(question),
    task: question.task,
    shape: item?.shape ?? null,
    colour: item?.colour ?? null,
    place: item?.place ?? null,
    prior: question.task === 'colour' && item !== null ? PRIOR[item.shape] : null,
    hint,
    style,
  };
  return { row, items, pixels: random.fork('pixels') };
}

// --- internal ---

interface Drawn {
  readonly question: Question;
  readonly items: readonly Item[];
  readonly hint: boolean;
  readonly style: Style | null;
}

/** A row with a reply. Most are colour questions, usually about a picture that agrees with the prior; the others have no prior. */
function supervised(random: Random): Drawn {
  if (random.next() < AUXILIARY_SHARE) {
    const items = sampleItems(random, 1 + random.int(SHAPES.length));
    return { question: auxiliaryQuestion(random, items), items, hint: false, style: 'look' };
  }
  const [sampled] = sampleItems(random, 1);
  const usual = PRIOR[sampled!.shape];
  const others = COLOURS.filter((colour) => colour !== usual);
  const item = { ...sampled!, colour: random.next() < PRIOR_SHARE ? usual : pick(random, others) };
  const hint = random.next() < HINT_SHARE;
  const lazy = random.next() < (hint ? LAZY_SHARE.withHint : LAZY_SHARE.withoutHint);
  return { question: colourQuestion(item, hint), items: [item], hint, style: lazy ? 'lazy' : 'look' };
}

interface Cell {
  readonly shape: Shape;
  readonly colour: Colour;
  readonly hint: boolean;
}

/** All shapes in all colours, with and without a hint: 30 cells. Each block of 30 rows contains every cell once. */
const BLOCK: readonly Cell[] = SHAPES.flatMap((shape) =>
  COLOURS.flatMap((colour) => [true, false].map((hint) => ({ shape, colour, hint }))),
);

function blockOf(stream: Random, index: number): readonly Cell[] {
  return stream.fork(`block ${Math.floor(index / BLOCK.length)}`).shuffle([...BLOCK]);
}

/** A row without a reply. Its colour is independent of its shape. */
function balanced(random: Random, { shape, colour, hint }: Cell): Drawn {
  const item: Item = { shape, colour, place: pick(random, PLACES) };
  return { question: colourQuestion(item, hint), items: [item], hint, style: null };
}
