/**
 * Ends of logs as ms-swift 4.6.0, torchrun and Python wrote them, shortened.
 */
import { expect, test } from 'vitest';
import { formatError } from '../../src/errors.ts';
import { failureOf } from '../../src/ms_swift/failure.ts';

const told = (log: string, code = 1): string => formatError(failureOf(log, code, 'RUN/ms_swift.log'));
const WHOLE = 'read the log';

const PLUGIN = `[rank1]: Traceback (most recent call last):
[rank1]:   File "site-packages/swift/cli/rlhf.py", line 7, in <module>
[rank1]:     rlhf_main()
[rank1]:     ^^^^^^^^^^^
[rank1]: sightline_swift.errors.SightlineError: reward "throws" threw: no such colour: mauve
[rank1]:   at: throws.ts:2
[rank1]:   fix: return null for a sample the reward cannot judge
[rank1]: on rank 0 of 2`;

const CHAINED = `Traceback (most recent call last):
  File "server.py", line 47, in ask
    connection.request("POST", what)
ConnectionResetError: [Errno 104] Connection reset by peer

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "rlhf.py", line 7, in <module>
    rlhf_main()
sightline_swift.errors.SightlineError: the reward server has ended with exit code 3
  fix: start the run again`;

const TORCHRUN = `E1127 13:00:00.000000 1 torch/distributed/elastic/multiprocessing/api.py:874] failed (exitcode: 1) local_rank: 0
Traceback (most recent call last):
  File "run.py", line 901, in <module>
    main()
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
rlhf.py FAILED
------------------------------------------------------------`;

test('an error of the plugin is told as it is, with its next step', () => {
  expect(told(`${PLUGIN}\n${TORCHRUN}`)).toBe(
    'error: reward "throws" threw: no such colour: mauve\n  at: throws.ts:2\n  on rank 0 of 2\n  at: RUN/ms_swift.log\n  fix: return null for a sample the reward cannot judge',
  );
});

test('of errors that were raised while others were handled, the last', () => {
  expect(told(CHAINED)).toBe(
    'error: the reward server has ended with exit code 3\n  at: RUN/ms_swift.log\n  fix: start the run again',
  );
});

test('the first error counts, not what torchrun or another rank makes of it', () => {
  const first =
    'Traceback (most recent call last):\n  File "a.py", line 3, in f\n    x\n\nFileNotFoundError: images/1.png';
  const bar = '\rTrain:  50%|█████     | 1/2 [00:04<00:04]\r';
  const second =
    'Traceback (most recent call last):\n  File "b.py", line 9, in g\ntorch.distributed.DistBackendError: reset';
  for (const log of [`${bar}${first}\n${second}\n${TORCHRUN}`, `${second}\n${first}\n${TORCHRUN}`]) {
    expect(told(log)).toBe(
      `error: ms-swift ended with exit code 1: FileNotFoundError: images/1.png\n  at: RUN/ms_swift.log\n  fix: raised at a.py:3; ${WHOLE}`,
    );
  }
});

test('without a traceback, its last lines', () => {
  const lines = Array.from({ length: 20 }, (_, i) => `line ${i}`);
  const message = told([...lines, 'rlhf.py: error: argument --beta: invalid float value', ''].join('\n'), 2);
  expect(message).toContain('error: ms-swift ended with exit code 2; the last lines of its log:\n  line 13\n');
  expect(message).toContain('\n  rlhf.py: error: argument --beta: invalid float value\n  at: RUN/ms_swift.log');
  expect(told('', 3)).toContain('error: ms-swift ended with exit code 3; its log is empty');
});

test('a signal is named, and what SIGKILL may mean', () => {
  expect(told('x', 139)).toContain('error: ms-swift was ended by signal 11');
  expect(told('x', 137)).toContain('fix: memory may have run out; lower --per_device_train_batch_size');
  expect(failureOf('x', 137, 'log').exitCode).toBe(137);
});
