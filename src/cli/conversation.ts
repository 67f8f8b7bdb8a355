/**
 * Runs a conversation on the terminal. `/image FILE` adds images. Knows no model.
 */
import { createInterface } from 'node:readline/promises';
import { formatError, SightlineError } from '../errors.ts';
import type { Chat } from '../train/infer.ts';
import { cleanText } from '../util/clean_text.ts';
import type { Io } from './io.ts';

/** Reads questions and prints answers until `/exit`, `/quit`, the end of the input, or an interrupt. */
export async function converse(chat: Chat, firstImages: readonly string[], io: Io): Promise<void> {
  const terminal = io.stdin.isTTY === true;
  const lines = createInterface({ input: io.stdin, output: terminal ? io.stdout : undefined, signal: io.signal });
  let images = [...firstImages];
  const prompt = () => {
    if (terminal) io.stdout.write('> ');
  };
  if (terminal) io.stdout.write(HELP);
  prompt();
  for await (const line of lines) {
    const text = line.trim();
    const { command, rest } = commandOf(text);
    if (command === '/exit' || command === '/quit') break;
    if (command === '/help') io.stdout.write(HELP);
    else if (command === '/clear') {
      chat.clear();
      images = [];
    } else if (command === '/image') {
      if (rest === '') io.stderr.write('note: /image needs a path: /image FILE\n');
      else if (await canSee(chat, rest, io)) images.push(rest);
    } else if (command !== null) {
      io.stderr.write(`note: there is no command ${command}; /help lists them\n`);
    } else if (text !== '') {
      // Also after a failure, so that a broken image does not affect later questions.
      await answer(chat, text, images, io);
      images = [];
    }
    prompt();
  }
  lines.close();
}

/** Checks an image and prints a note about it if there is one. Errors: those of the image. */
export async function lookAt(chat: Pick<Chat, 'look'>, image: string, io: Io): Promise<void> {
  const note = await chat.look(image);
  if (note !== null) io.stderr.write(`note: ${cleanText(note)}\n`);
}

// --- internal ---

/** Whether an image can be used. Reports a fault at once, not at the next question. */
async function canSee(chat: Chat, image: string, io: Io): Promise<boolean> {
  try {
    await lookAt(chat, image, io);
    return true;
  } catch (error) {
    if (!(error instanceof SightlineError)) throw error;
    io.stderr.write(`${formatError(error)}\n`);
    return false;
  }
}

const HELP =
  'Ask about an image: /image FILE adds one, /clear starts over, /help shows this again, /exit or /quit ends it.\n';

/** A first word of a slash and letters is a command, even if it is unknown. Anything else, such as `/usr/bin`, is a question. */
function commandOf(text: string): { command: string | null; rest: string } {
  const [, command = null, rest = ''] = /^(\/[a-z]+)(?:\s+(.*))?$/i.exec(text) ?? [];
  return { command: command?.toLowerCase() ?? null, rest };
}

async function answer(chat: Chat, question: string, images: readonly string[], io: Io): Promise<void> {
  try {
    await chat.ask(question, images, (piece) => io.stdout.write(piece));
    io.stdout.write('\n');
  } catch (error) {
    if (!(error instanceof SightlineError)) throw error;
    io.stderr.write(`${formatError(error)}\n`);
    if (images.length > 0) io.stderr.write('note: the question and its images were left out; add images again\n');
  }
}
