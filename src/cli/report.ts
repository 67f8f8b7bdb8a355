/**
 * `sightline report`: writes a page about a run.
 */
import { readReportArguments } from '../arguments/arguments.ts';
import { explainDisk } from '../errors.ts';
import { writeFileAtomically } from '../util/atomic_write.ts';
import { cleanText } from '../util/clean_text.ts';
import type { Io } from './io.ts';

export async function report(words: readonly string[], io: Io): Promise<void> {
  const { args, notices } = readReportArguments(namedWords(words), io.env);
  for (const text of notices) io.stderr.write(`note: ${cleanText(text)}\n`);
  const { runPage } = await import('../run_page/page.ts');
  const page = await runPage(args.run, args);
  try {
    writeFileAtomically(args.output, page);
  } catch (error) {
    throw explainDisk(error, 'E_REPORT_WRITE', 'the report cannot be written', { where: args.output });
  }
  io.stdout.write(`wrote ${cleanText(args.output)}\n`);
}

// --- internal ---

/** The folder may be the first word, and -o stands for --output. */
function namedWords(words: readonly string[]): readonly string[] {
  const named = words.map((word) => (word === '-o' ? '--output' : word));
  return named[0] === undefined || named[0].startsWith('-') ? named : ['--run', ...named];
}
