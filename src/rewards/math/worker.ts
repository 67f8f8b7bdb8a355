/**
 * Entry of the maths process: one pair of answers in, one verdict out.
 * Knows nothing of deadlines; whoever started it ends it.
 */
import { compareMath, type MathVerdict } from './compare.ts';

process.on('message', ({ reference, answer }: { reference: string; answer: string }) => {
  process.send?.(verdictOf(reference, answer));
});
process.on('disconnect', () => process.exit());
process.send?.('ready');

function verdictOf(reference: string, answer: string): MathVerdict {
  try {
    return compareMath(reference, answer);
  } catch {
    return 'answer'; // a number or a stack grew past what the engine can hold: the answer is not shown to be right
  }
}
