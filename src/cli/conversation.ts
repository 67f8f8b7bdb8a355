/**
 * A conversation on the terminal: questions in, answers out, images by `/image FILE`. Knows no model.
 */
import { createInterface } from 'node:readline/promises';
import { formatError, SightlineError } from '../errors.ts';
import type { Chat } from '../train/infer.ts';
import type { Io } from './io.ts';

/** Talks until `/exit`, the end of the input, or an interrupt. */
export async function converse(chat: Chat, firstImages: readonly string[], io: Io): Promise<void> {
  const terminal = io.stdin.isTTY === true;
  const lines = createInterface({ input: io.stdin, output: terminal ? io.stdout : undefined, signal: io.signal });
  let images = [...firstImages];
  const prompt = () => {
    if (terminal) io.stdout.write('> ');
  };
  if (terminal) io.stdout.write('Ask about an image: /image FILE adds one, /clear starts over, /exit leaves.\n');
  prompt();
  for await (const line of lines) {
    const text = line.trim();
    const [command, ...rest] = text.split(' ');
    if (command === '/exit') break;
    if (command === '/clear') {
      chat.clear();
      images = [];
    } else if (command === '/image') {
      images.push(rest.join(' '));
    } else if (text !== '') {
      if (await answered(chat, text, images, io)) images = [];
    }
    prompt();
  }
  lines.close();
}

// --- internal ---

async function answered(chat: Chat, question: string, images: readonly string[], io: Io): Promise<boolean> {
  try {
    await chat.ask(question, images, (piece) => io.stdout.write(piece));
    io.stdout.write('\n');
    return true;
  } catch (error) {
    if (!(error instanceof SightlineError)) throw error;
    io.stderr.write(`${formatError(error)}\n`);
    return false;
  }
}
