/**
 * `sightline infer`: one answer on standard output, or a conversation on the terminal.
 */
import { readInferArguments } from '../arguments/arguments.ts';
import { converse, lookAt } from './conversation.ts';
import type { Io } from './io.ts';

export async function infer(words: readonly string[], io: Io): Promise<void> {
  const { args, notices } = readInferArguments(words, io.env);
  for (const text of notices) io.stderr.write(`note: ${text}\n`);
  const { openChat } = await import('../train/infer.ts');
  const chat = await openChat(args, { signal: io.signal });
  try {
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
