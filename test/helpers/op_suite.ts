/**
 * The standing suite of a family of ops: each exported op has cases, and each misuse its message.
 * An op that is exported without a case fails the suite (and does not compile).
 */
import { describe, expect, test } from 'vitest';
import { showShape } from '../../src/graph/shape.ts';
import { checkOp, type OpCase } from './check_op.ts';

/** What must not be built, and what is said about it. */
export type Fault = readonly [name: string, build: () => unknown, message: RegExp];

/**
 * @param module the ops' module itself (`import * as`), so that nothing exported is forgotten
 * @param skip why the cases cannot run on this machine, if they cannot
 */
export function describeOps<Module extends object>(
  module: Module,
  cases: Readonly<Record<keyof Module & string, readonly OpCase[]>>,
  faults: readonly Fault[],
  skip?: string,
): void {
  test('every exported op has a case', () => {
    const ops = Object.entries(module).flatMap(([name, value]) => (typeof value === 'function' ? [name] : []));
    const covered = Object.entries<readonly OpCase[]>(cases).flatMap(([name, { length }]) =>
      length > 0 ? [name] : [],
    );
    expect(covered.sort()).toEqual(ops.sort());
  });
  for (const [op, list] of Object.entries<readonly OpCase[]>(cases)) {
    describe.skipIf(skip !== undefined)(skip === undefined ? op : `${op}: ${skip}`, () => {
      for (const opCase of list) {
        test(nameOf(opCase), async ({ annotate }) => {
          const { value, gradient } = await checkOp(opCase);
          await annotate(`largest error: value ${value.toExponential(1)}, gradient ${gradient.toExponential(1)}`);
        });
      }
    });
  }
  describe('refuses', () => {
    for (const [name, build, message] of faults) test(name, () => expect(build).toThrow(message));
  });
}

// --- internal ---

const nameOf = ({ name, args }: OpCase): string =>
  name ?? args.map(({ shape, dims, dtype }) => `${dtype ?? ''}${showShape(shape ?? dims)}`).join(' and ');
