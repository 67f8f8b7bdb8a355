/**
 * The best and the worst completion of a step as a small table for a terminal.
 */
import type { CompletionRow } from '../train/events.ts';
import { ranked, totalReward, weightsOf } from './ranking.ts';
import { alignedNumbers, cutColumns, oneLine } from './text.ts';

export interface BestWorstOptions {
  /** Completions to show, at most two. */
  readonly count: number;
  /** Argument `reward_weights`; 1 each if it is left out. */
  readonly rewardWeights: unknown;
  /** Width of the terminal. */
  readonly columns: number;
}

/**
 * A title, the names of the columns, and a line for each completion: reward in sum, single rewards as far as there is room,
 * text. Empty if nothing is to be shown. Completions without any reward are not compared.
 */
export function bestWorstTable(
  step: number,
  rows: readonly CompletionRow[],
  { count, rewardWeights, columns }: BestWorstOptions,
): string[] {
  const names = [...new Set(rows.flatMap(({ rewards }) => Object.keys(rewards)))];
  const weights = weightsOf(rewardWeights, names.length);
  const values = rows.map(({ rewards }) => names.map((name) => rewards[name] ?? null));
  const totals = values.map((each) => totalReward(each, weights));
  const order = ranked(totals);
  if (count === 0 || order.length === 0) return [];
  const [best, worst] = [order[0]!, order.at(-1)!];
  const isFlat = totals[best] === totals[worst];
  const chosen = isFlat || count === 1 ? [best] : [best, worst];
  const labels = ['     ', ...(isFlat ? ['equal'] : ['best ', 'worst'])];
  const numbers = [
    column(
      'reward',
      chosen.map((i) => totals[i]!),
    ),
    ...(names.length < 2
      ? []
      : names.map((name, k) =>
          column(
            oneLine(name, LONGEST_NAME),
            chosen.map((i) => values[i]![k]!),
          ),
        )),
  ];
  const shown = fitting([labels, ...numbers], columns - 1 - LEAST_TEXT);
  const texts = ['completion', ...chosen.map((i) => oneLine(rows[i]!.completion, columns))];
  const lines = texts.map((text, line) => [...shown.map((cells) => cells[line]!), text].join('  '));
  return [`step ${step}, ${rows.length} completions`, ...lines].map((line) => cutColumns(line.trimEnd(), columns - 1));
}

// --- internal ---

const LONGEST_NAME = 24;
/** Columns that the text of a completion gets at least. */
const LEAST_TEXT = 24;

/** The cells of a column, all of the same width, its name first. */
function column(name: string, values: readonly (number | null)[]): string[] {
  const cells = [name, ...alignedNumbers(values)];
  const width = Math.max(...cells.map(({ length }) => length));
  return cells.map((cell) => cell.padStart(width));
}

/** The first columns, as many as there is room for: at least the label and the reward in sum. */
function fitting(all: readonly string[][], room: number): readonly string[][] {
  let width = 0;
  return all.filter((cells, i) => {
    width += cells[0]!.length + 2;
    return i < 2 || width <= room;
  });
}
