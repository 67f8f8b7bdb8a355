/**
 * `sightline export`: arguments to the merging of an adapter.
 */
import { readExportArguments } from '../arguments/arguments.ts';
import { cleanText } from '../util/clean_text.ts';
import type { Io } from './io.ts';

export async function exportModel(words: readonly string[], io: Io): Promise<void> {
  const { args, notices } = readExportArguments(words, io.env);
  for (const text of notices) io.stderr.write(`note: ${cleanText(text)}\n`);
  const { runExport } = await import('../train/export.ts');
  await runExport(args, {
    signal: io.signal,
    emit: async (event) => {
      if (event.type === 'notice') io.stdout.write(`${cleanText(event.text)}\n`);
    },
  });
}
