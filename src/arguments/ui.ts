/**
 * The flags of `sightline ui`, which shows runs in a browser.
 */
import type { CommandSpec } from './command.ts';
import { boolean, integer, text, textList } from './flag.ts';
import { commonFlags } from './shared_flags.ts';

export const uiFlags = {
  folders: textList({
    group: 'Page',
    default: ['output'],
    metavar: 'DIR...',
    help: 'Folders with runs of sightline or ms-swift, at any depth up to four. Images are shown only if they are in one of these folders too. The folders may also be given as the first words, without --folders.',
  }),
  demo: boolean({
    group: 'Page',
    default: false,
    help: 'Show the recorded run that comes with the program, in place of --folders.',
  }),
  port: integer({
    group: 'Page',
    default: 7788,
    min: 0,
    max: 65535,
    help: 'Port of the page; 0 takes any free one.',
  }),
  host: text({
    group: 'Page',
    default: '127.0.0.1',
    metavar: 'ADDRESS',
    help: 'Address to listen on. Any other than that of this machine itself needs a --token, because the connection is not encrypted and the network can reach the page.',
  }),
  token: text({
    group: 'Page',
    default: null,
    unset: 'random',
    env: 'SIGHTLINE_UI_TOKEN',
    help: 'Secret of the first link, at least 16 characters. A link works once and leaves a cookie in the browser; then the next link is printed.',
  }),
  allowed_hosts: textList({
    group: 'Page',
    default: [],
    metavar: 'NAME...',
    help: 'Further names of this machine under which the page is opened. Requests for other names are refused.',
  }),
  debug: commonFlags.debug,
} as const;

export const uiCommand: CommandSpec<typeof uiFlags> = {
  name: 'ui',
  summary: 'show runs, completions and attention in a browser, live',
  usage: 'sightline ui [DIR...] [flags]',
  flags: uiFlags,
  examples: [
    'sightline ui',
    'sightline ui --demo true',
    'sightline ui output ~/swift/output',
    'sightline ui output --port 0',
  ],
  notes: [
    'The page only reads, and only below the given folders. docs/ui.md describes its views and keys.',
    'For a run on another machine, forward the port (ssh -L 7788:127.0.0.1:7788 HOST) instead of opening --host.',
  ],
};
