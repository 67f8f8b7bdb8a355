/**
 * The flags of `sightline report`, which writes a page about a run.
 */
import type { CommandSpec } from './command.ts';
import { boolean, requiredText, text } from './flag.ts';
import { commonFlags } from './shared_flags.ts';

export const reportFlags = {
  run: requiredText({
    group: 'Data',
    metavar: 'DIR',
    help: 'Folder of a run of sightline or ms-swift, finished or live. It may also be given as the first word, without --run.',
  }),
  output: text({
    group: 'Output',
    default: 'report.html',
    metavar: 'FILE',
    help: 'HTML file to write; one that exists is replaced. -o is the same.',
  }),
  images: boolean({
    group: 'Output',
    default: true,
    help: 'Put small copies of images into the page. They are read from the paths that the log of the run names; false reads none, for the log of somebody else.',
  }),
  debug: commonFlags.debug,
} as const;

export const reportCommand: CommandSpec<typeof reportFlags> = {
  name: 'report',
  summary: 'write a page about a run, in one file that opens offline',
  usage: 'sightline report RUN [-o FILE.html] [flags]',
  flags: reportFlags,
  examples: ['sightline report output/v0-20261127-101500 -o report.html'],
  notes: ['The page holds summary, verdicts, curves, samples and arguments; docs/report.md describes them.'],
};
