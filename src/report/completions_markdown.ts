/**
 * Writes the completions of a prompt as Markdown for TensorBoard's text view. Completions appear exactly as sampled, even if
 * they contain Markdown.
 */
import type { CompletionRow } from '../train/events.ts';
import { cutText, formatNumber } from './text.ts';

/** Splits completions into groups. Consecutive completions of one group share the object `row`. */
export function groupByRow(rows: readonly CompletionRow[]): CompletionRow[][] {
  const groups: CompletionRow[][] = [];
  for (const row of rows) {
    const last = groups.at(-1);
    if (last !== undefined && last[0]!.row === row.row) last.push(row);
    else groups.push([row]);
  }
  return groups;
}

/** The origin of the prompt, its text, and its first completions with advantage and rewards. */
export function completionsMarkdown(group: readonly CompletionRow[]): string {
  const { row, prompt } = group[0]!;
  const images = row.images.map((image) => (image.kind === 'path' ? image.path : 'an image in the row'));
  const shown = group.slice(0, MOST_COMPLETIONS);
  const left = group.length - shown.length;
  return [
    code([row.source, ...images].join('\n')),
    'prompt',
    code(prompt),
    ...shown.flatMap((completion) => [scoresOf(completion), code(completion.completion)]),
    ...(left === 0 ? [] : [`and ${left} more`]),
  ].join('\n\n');
}

// --- internal ---

const MOST_COMPLETIONS = 8;
/** Maximum number of characters shown of a prompt or a completion. */
const LONGEST = 2000;

/** A code block, in which Markdown has no effect. Its fence is longer than any run of `~` in the text, so that the text cannot end it. */
function code(text: string): string {
  const cut = cutText(text, LONGEST);
  const longest = Math.max(2, ...[...cut.matchAll(/~+/g)].map(([run]) => run.length));
  const fence = '~'.repeat(longest + 1);
  return `${fence}\n${cut}\n${fence}`;
}

function scoresOf({ advantage, rewards }: CompletionRow): string {
  const scores = Object.entries(rewards).map(
    ([name, value]) => `${inline(name)} ${value === null ? 'null' : formatNumber(value)}`,
  );
  return [`advantage ${formatNumber(advantage)}`, ...scores].join(' | ');
}

/** Escapes Markdown in a name outside of a code block. */
const inline = (name: string): string => name.replace(/[\\`*_{}[\]<>()#+!|~-]/g, '\\$&');
