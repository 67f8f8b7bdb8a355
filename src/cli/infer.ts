/**
 * `sightline infer`: prints one answer to standard output, or runs a conversation on the terminal.
 */
import { readInferArguments } from '../arguments/arguments.ts';
import { consoleReport } from '../report/console.ts';
import { cleanText } from '../util/clean_text.ts';
import { converse, lookAt } from './conversation.ts';
import type { Io } from './io.ts';

export async function infer(words: readonly string[], io: Io): Promise<void> {
  const { args, notices } = readInferArguments(words, io.env);
  const tell = (text: string): void => void io.stderr.write(`note: ${cleanText(text)}\n`);
  for (const text of notices) tell(text);
  const { openChat } = await import('../train/infer.ts');
  const { onEvent } = consoleReport(io.stderr, {
    title: 'sightline infer',
    completionsToPrint: 0,
    eventFiles: false,
    env: io.env,
  });
  const chat = await openChat(args, { signal: io.signal, emit: onEvent, tell });
  try {
    for (const text of chat.notes ?? []) tell(text);
    for (const path of args.image) await lookAt(chat, path, io);
    if (args.prompt === null) await converse(chat, args.image, io);
    else {
      await chat.ask(args.prompt, args.image, (piece) => io.stdout.write(piece));
      io.stdout.write('\n');
    }
  } finally {
    await chat.close();
  }
}
