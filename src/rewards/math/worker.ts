/**
 * Entry of the maths process: one pair of answers in, one verdict out.
 * Knows nothing of deadlines; whoever started it ends it.
 */
import { ComputeEngine } from '@cortex-js/compute-engine';
import { compareMath, type MathVerdict } from './compare.ts';

const engine = new ComputeEngine();
process.on('message', ({ reference, answer }: { reference: string; answer: string }) => {
  process.send?.(verdictOf(reference, answer));
});
process.on('disconnect', () => process.exit());
process.send?.('ready');

function verdictOf(reference: string, answer: string): MathVerdict {
  try {
    return compareMath(engine, reference, answer);
  } catch {
    return 'answer'; // evaluation threw: the library cannot say that the answer is right
  }
}
