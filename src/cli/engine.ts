/**
 * `sightline engine ms-swift --print-plugin`: prints the path of the plugin, for scripts that start ms-swift themselves.
 */
import { existsSync } from 'node:fs';
import { SightlineError } from '../errors.ts';
import { PLUGIN } from '../ms_swift/files.ts';
import type { Io } from './io.ts';

export async function engine(words: readonly string[], io: Io): Promise<void> {
  const [name, ...flags] = words;
  if (name !== 'ms-swift' || flags.length !== 1 || !PRINT.test(flags[0]!)) {
    throw new SightlineError('E_USAGE', `not a command: sightline engine ${words.join(' ')}`.trimEnd(), {
      hint: USAGE,
    });
  }
  if (!existsSync(PLUGIN)) {
    throw new SightlineError('E_PLUGIN_MISSING', 'the plugin for ms-swift is missing from this installation', {
      where: PLUGIN,
      hint: 'install sightline again',
    });
  }
  io.stdout.write(`${PLUGIN}\n`);
}

export const engineHelp = (): string =>
  `engine: ${ENGINE_SUMMARY}\n\n${USAGE}\n\nPrints the path of the plugin, for --external_plugins in your own \`swift rlhf\` script (docs/ms_swift.md).\n\`sightline rlhf --engine ms-swift\` uses the plugin by itself.\n`;

export const ENGINE_SUMMARY = 'print the path of the plugin for ms-swift';

// --- internal ---

const USAGE = 'Usage: sightline engine ms-swift --print-plugin';
const PRINT = /^--print[-_]plugin$/;
