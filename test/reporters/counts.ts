/**
 * A vitest reporter that says the outcome in one line, `N passed, N failed[, N skipped]`, for scripts to read.
 * Knows the results; knows nothing of what is done with the line.
 */
import type { Reporter, TestModule } from 'vitest/node';

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/**
 * Counts test cases. A file that cannot be loaded, a suite whose hook throws and an error outside of every test count
 * as one failure each: without that they would lower the number of tests and raise nothing.
 */
export function countResults(modules: readonly TestModule[], unhandledErrors: number): Counts {
  const counts: Counts = { passed: 0, failed: unhandledErrors, skipped: 0 };
  for (const module of modules) {
    if (module.errors().length > 0) counts.failed++;
    for (const suite of module.children.allSuites()) if (suite.errors().length > 0) counts.failed++;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      // A test that never ran, after an interrupt for one, is `pending`; it did not pass.
      if (state === 'passed' || state === 'failed') counts[state]++;
      else counts.skipped++;
    }
  }
  return counts;
}

export function countsLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

/** Comes last in the list of reporters, so that its line is the last of the output. */
export class CountsReporter implements Reporter {
  onTestRunEnd: NonNullable<Reporter['onTestRunEnd']> = (modules, unhandledErrors) => {
    process.stdout.write(`${countsLine(countResults(modules, unhandledErrors.length))}\n`);
  };
}
