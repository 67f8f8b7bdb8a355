/**
 * `sightline ui`: serves the page until it is interrupted.
 */
import { fileURLToPath } from 'node:url';
import { readUiArguments } from '../arguments/arguments.ts';
import { formatError, messageOf, SightlineError } from '../errors.ts';
import { isLoopback, startUi } from '../ui/server.ts';
import { cleanText } from '../util/clean_text.ts';
import type { Io } from './io.ts';

export async function ui(words: readonly string[], io: Io): Promise<void> {
  const { args, notices } = readUiArguments(namedFolders(words), io.env);
  const tell = (text: string): void => void io.stderr.write(`${cleanText(text)}\n`);
  for (const text of notices) tell(`note: ${text}`);
  if (!isLoopback(args.host))
    tell(`warning: the page is open to the network at ${args.host}; the connection is not encrypted`);
  const { ended } = await startUi({
    folders: args.demo ? [DEMO_RUN] : args.folders,
    host: args.host,
    port: args.port,
    hosts: args.allowedHosts,
    token: args.token,
    signal: io.signal,
    onLink: (link) => io.stdout.write(`${link}\n`),
    onFault: (error) => tell(error instanceof SightlineError ? formatError(error) : `warning: ${messageOf(error)}`),
  });
  await ended;
}

// --- internal ---

/** Made by scripts/record_demo_run.mjs. */
const DEMO_RUN = fileURLToPath(new URL('../../assets/demo/run', import.meta.url));

/** Folders may be the first words. */
function namedFolders(words: readonly string[]): readonly string[] {
  return words[0] === undefined || words[0].startsWith('-') ? words : ['--folders', ...words];
}
