/**
 * The pages in the order of a newcomer's questions. A page of docs/ that is not named here fails a test.
 */

/** A page: what the sidebar calls it, and its file in docs/ without the extension. */
export interface Page {
  text: string;
  file: string;
}

export interface Group {
  text: string;
  pages: Page[];
}

export const groups: Group[] = [
  {
    text: 'Quick start',
    pages: [
      { text: 'Quick start', file: 'quick_start' },
      { text: 'What the demo shows', file: 'demo' },
    ],
  },
  {
    text: 'Own data',
    pages: [
      { text: 'Rows', file: 'dataset' },
      { text: 'Images', file: 'images' },
    ],
  },
  {
    text: 'Own reward',
    pages: [{ text: 'Rewards', file: 'rewards' }],
  },
  {
    text: 'Reading attention',
    pages: [
      { text: 'Reading attention', file: 'reading_attention' },
      { text: 'The page of runs', file: 'ui' },
      { text: 'The page of one run', file: 'report' },
      { text: 'All metrics', file: 'metrics' },
    ],
  },
  {
    text: 'Coming from ms-swift or TRL',
    pages: [
      { text: 'What changes', file: 'coming_from' },
      { text: 'Parity', file: 'parity' },
      { text: 'Inside ms-swift', file: 'ms_swift' },
      { text: 'All flags', file: 'flags' },
    ],
  },
  {
    text: 'A reward that is zero',
    pages: [
      { text: 'A reward that is zero', file: 'zero_reward' },
      { text: 'sightline doctor', file: 'doctor' },
    ],
  },
  {
    text: 'Memory and speed',
    pages: [
      { text: 'Memory and speed', file: 'memory' },
      { text: 'LoRA and frozen weights', file: 'lora' },
      { text: 'Resume', file: 'resume' },
      { text: 'Graphics processors', file: 'gpu' },
      { text: 'Benchmarks', file: 'benchmarks' },
    ],
  },
  {
    text: 'How it works inside',
    pages: [
      { text: 'The way through the code', file: 'map' },
      { text: 'Formulas', file: 'formulas' },
      { text: 'Development', file: 'development' },
      { text: 'Log', file: 'log' },
    ],
  },
];
