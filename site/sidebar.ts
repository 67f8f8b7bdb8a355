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
    text: 'First steps',
    pages: [
      { text: 'The embedded demo', file: 'demo' },
      { text: 'Own data', file: 'dataset' },
      { text: 'Own images', file: 'images' },
      { text: 'Own reward', file: 'rewards' },
    ],
  },
  {
    text: 'Seeing what happens',
    pages: [
      { text: 'The page of runs', file: 'ui' },
      { text: 'The page of one run', file: 'report' },
      { text: 'All metrics', file: 'metrics' },
      { text: 'Why is my reward zero?', file: 'doctor' },
    ],
  },
  {
    text: 'Coming from ms-swift or TRL',
    pages: [
      { text: 'Parity', file: 'parity' },
      { text: 'Inside ms-swift', file: 'ms_swift' },
      { text: 'All flags', file: 'flags' },
    ],
  },
  {
    text: 'Memory, speed, long runs',
    pages: [
      { text: 'Memory', file: 'memory' },
      { text: 'LoRA and frozen weights', file: 'lora' },
      { text: 'On a GPU', file: 'gpu' },
      { text: 'Resume', file: 'resume' },
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
