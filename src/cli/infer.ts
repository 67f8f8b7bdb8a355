/**
 * `sightline infer`: prints one answer to standard output, or runs a conversation on the terminal.
 */
import { readInferArguments } from '../arguments/arguments.ts';
import type { InferArguments } from '../arguments/resolve.ts';
import { consoleReport } from '../report/console.ts';
import { type Chat, sourceOf } from '../train/infer.ts';
import { writeFileAtomically } from '../util/atomic_write.ts';
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
      if (args.attention !== null) await writeAttention(chat, args, args.attention, tell);
    }
  } finally {
    await chat.close();
  }
}

// --- internal ---

async function writeAttention(
  chat: Chat,
  { model, prompt, image, imageAlpha }: InferArguments,
  file: string,
  tell: (text: string) => void,
): Promise<void> {
  const attention = await chat.attention();
  if (attention === null || attention.tokens.length === 0) {
    tell('the answer has no tokens, so it looks nowhere: no file is written');
    return;
  }
  const sources = image.map(sourceOf);
  if (file.toLowerCase().endsWith('.png')) {
    const { attentionPicture } = await import('../report/attention_picture.ts');
    writeFileAtomically(file, await attentionPicture(sources[0]!, attention.images[0]!, imageAlpha));
    if (sources.length > 1) tell(`${file} shows the first of ${sources.length} images; a .html file shows all`);
  } else {
    const { attentionPage } = await import('../report/attention_page.ts');
    writeFileAtomically(file, await attentionPage({ model, question: prompt ?? '' }, sources, attention, imageAlpha));
  }
  tell(`where the answer looks: ${file}`);
}
