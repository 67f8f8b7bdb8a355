/**
 * The fenced blocks of a page, with what the page says about running them. Knows Markdown; knows no command.
 *
 * Commands stand in blocks of the language `sh`. A comment just before one says what is special about it:
 *
 *   <!-- not run: REASON -->        its flags are checked, and nothing else
 *   <!-- exit code: N -->           it ends with N instead of 0
 *   <!-- stopped after: TEXT -->    it runs until it is stopped (Ctrl+C), which the test does when it has printed TEXT
 *
 * A block of another language with `title="FILE"` is a file that the commands after it find in their folder.
 */

export type Run =
  | { readonly kind: 'ends'; readonly exitCode: number }
  | { readonly kind: 'stopped'; readonly after: string }
  | { readonly kind: 'not run'; readonly reason: string };

export type Block =
  | { readonly kind: 'commands'; readonly line: number; readonly text: string; readonly run: Run }
  | { readonly kind: 'file'; readonly line: number; readonly text: string; readonly name: string }
  | { readonly kind: 'shown'; readonly line: number; readonly text: string; readonly language: string };

/** The language of commands. Others of shells would hide commands from the tests. */
const SHELL = 'sh';
const OTHER_SHELLS = ['bash', 'shell', 'console', 'zsh', 'shellsession'];

/**
 * The blocks of a page in their order; `line` is that of the opening fence, from 1. Indentation of the fence is taken away.
 *
 * Errors: a fence without a language or without an end, a shell's other name, a comment that is none of the three, one that
 * stands before something else than commands.
 */
export function blocksOf(page: string): Block[] {
  const lines = page.split('\n');
  const blocks: Block[] = [];
  let comment: { line: number; run: Run } | null = null;
  for (let i = 0; i < lines.length; i++) {
    const marker = /^ *<!-- (not run|exit code|stopped after)\b(.*?)-->$/.exec(lines[i]!);
    const fence = /^( *)(```+)(\w*)(?: (.*))?$/.exec(lines[i]!);
    if (comment !== null && fence === null && lines[i]!.trim() !== '')
      throw new Error(`line ${comment.line}: no commands after the comment`);
    if (marker !== null) comment = { line: i + 1, run: runOf(marker[1]!, marker[2]!, i + 1) };
    if (fence === null) continue;
    const [, indent, ticks, language, meta = ''] = fence;
    const end = lines.findIndex((line, j) => j > i && line.trim() === ticks);
    if (end === -1) throw new Error(`line ${i + 1}: the block has no end`);
    const text = lines
      .slice(i + 1, end)
      .map((line) => (line.startsWith(indent!) ? line.slice(indent!.length) : line))
      .join('\n');
    blocks.push(blockOf(i + 1, language!, meta, text, comment?.run ?? null));
    comment = null;
    i = end;
  }
  if (comment !== null) throw new Error(`line ${comment.line}: no commands after the comment`);
  return blocks;
}

// --- internal ---

function runOf(name: string, rest: string, line: number): Run {
  const value = /^: (.*\S) *$/.exec(rest)?.[1];
  if (value === undefined) throw new Error(`line ${line}: expected "${name}: ..."`);
  if (name === 'not run') return { kind: 'not run', reason: value };
  if (name === 'stopped after') return { kind: 'stopped', after: value };
  if (!/^\d+$/.test(value)) throw new Error(`line ${line}: expected a number as exit code`);
  return { kind: 'ends', exitCode: Number(value) };
}

function blockOf(line: number, language: string, meta: string, text: string, run: Run | null): Block {
  if (language === '') throw new Error(`line ${line}: the block has no language; text is one`);
  if (OTHER_SHELLS.includes(language))
    throw new Error(`line ${line}: commands stand in blocks of the language ${SHELL}`);
  if (language === SHELL) return { kind: 'commands', line, text, run: run ?? { kind: 'ends', exitCode: 0 } };
  if (run !== null) throw new Error(`line ${line}: the comment before the block is one for commands`);
  const name = /^title="([\w./-]+)"$/.exec(meta)?.[1];
  if (name !== undefined) return { kind: 'file', line, text: `${text}\n`, name };
  if (meta !== '') throw new Error(`line ${line}: expected title="FILE" after the language, got ${meta}`);
  return { kind: 'shown', line, text, language };
}
