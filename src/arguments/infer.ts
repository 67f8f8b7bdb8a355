/**
 * The flags of `sightline infer`, which asks a checkpoint about images, once or in a conversation.
 */
import type { CommandSpec } from './command.ts';
import { integer, number, text, textList } from './flag.ts';
import { adaptedModelFlags, commonFlags, samplingFlags, systemFlags, weightFormFlags } from './shared_flags.ts';

export const inferFlags = {
  ...adaptedModelFlags,
  ...weightFormFlags,
  image: textList({
    group: 'Data',
    default: [],
    metavar: 'FILE...',
    aliases: ['images'],
    help: 'Images of the first question. They replace its <image> tags, or come before its text if it has none.',
  }),
  prompt: text({
    group: 'Data',
    default: null,
    unset: 'a conversation on the terminal',
    aliases: ['query'],
    help: 'The question. The answer goes to standard output.',
  }),
  ...systemFlags,
  attention: text({
    group: 'Attention',
    default: null,
    unset: 'none is measured',
    metavar: 'FILE.html|FILE.png',
    help: 'Where the answer to --prompt looks: a page (.html) with each token and its attention on the image, or a picture (.png) with that of the whole answer. One eager forward more; mean over heads and the last 8 layers.',
  }),
  max_new_tokens: integer({
    group: 'Sampling',
    default: 512,
    min: 1,
    unit: 'tokens',
    help: 'Maximum length of an answer.',
  }),
  temperature: number({
    group: 'Sampling',
    default: 0,
    min: 0,
    help: 'Sampling temperature; 0 always takes the most likely token.',
  }),
  ...samplingFlags,
  seed: integer({ group: 'Sampling', default: 42, min: 0, help: 'Seed of sampling.' }),
  ...commonFlags,
} as const;

export const inferCommand: CommandSpec<typeof inferFlags> = {
  name: 'infer',
  summary: 'chat with a checkpoint about an image',
  usage: 'sightline infer --model DIR [--image FILE...] [--prompt TEXT] [flags]',
  flags: inferFlags,
  examples: [
    'sightline infer --model ./checkpoint --image photo.png --prompt "What is in the picture?"',
    'sightline infer --model ./checkpoint --image photo.png --prompt "Where is the dog?" --attention attention.html',
  ],
  notes: [],
};
