/**
 * A process that renders one Jinja template, with a deadline and a memory cap: the template is foreign code.
 * Knows how to survive it; not where templates come from. The only user of @huggingface/jinja.
 */
import type { ChildProcess } from 'node:child_process';
import { createRequire } from 'node:module';
import { messageOf, SightlineError } from '../errors.ts';
import { holdRun, startProgram } from '../util/child_program.ts';
import { shownJson } from '../util/json.ts';
import { PYTHON_MEANING } from './jinja_python.ts';

export interface RenderLimits {
  /** Milliseconds one render may take, the process's start included; default 10,000. */
  readonly deadlineMs?: number;
  /** Heap of the process; default 128 MB. */
  readonly memoryMb?: number;
}

export interface RenderProcess {
  /**
   * The text for variables in JSON. One call at a time. Starts the process, or another one after it has died.
   * Errors: E_TEMPLATE_INVALID, E_TEMPLATE_LIMIT; E_TEMPLATE_PROCESS if no process can be started.
   */
  render(variables: string): Promise<string>;
  close(): Promise<void>;
}

/** It keeps this process alive only while somebody waits for it. */
export function createRenderProcess(
  source: string,
  where: string,
  { deadlineMs = 10_000, memoryMb = 128 }: RenderLimits,
): RenderProcess {
  let child: ChildProcess | null = null;
  const end = async (): Promise<void> => {
    const ended = child;
    child = null;
    if (ended === null || ended.exitCode !== null || ended.signalCode !== null) return;
    const exited = new Promise((resolve) => ended.once('exit', resolve).once('error', resolve));
    ended.ref(); // else nothing would hold this process until then
    ended.kill('SIGKILL');
    await exited;
  };
  return {
    async render(variables) {
      if (child?.connected !== true) {
        child = start(memoryMb);
        child.send(
          { jinja: JINJA, source, deadlineMs, longestText: LONGEST_TEXT, longestRange: LONGEST_RANGE },
          ignore,
        );
      }
      // After a reply, whatever it says, the process is fine; after a deadline or a crash the next render needs another.
      const { text, error, unsupported, limit } = await ask(child, variables, deadlineMs, where).catch(
        async (lost: unknown) => {
          await end();
          throw lost;
        },
      );
      if (text !== undefined) return text;
      throw limit === undefined
        ? refused(error ?? 'no reason given', unsupported === true, where)
        : limited(limit, where);
    },
    close: end,
  };
}

// --- internal ---

const JINJA = createRequire(import.meta.url).resolve('@huggingface/jinja');
/** Characters a rendered conversation may have. */
const LONGEST_TEXT = 16_000_000;
/** Numbers one range() may give; published templates count messages. */
const LONGEST_RANGE = 100_000;

/**
 * Plain CommonJS in a string, because a file would need another loader under the tests than in the build. A long text is
 * refused in there, before it is copied out, and a long range() before it is made. The process has a deadline of its own,
 * should the one that started it be gone; an interrupt at the terminal, which it gets too, is not for it.
 */
const PROGRAM = `
${PYTHON_MEANING}
const vm = require('node:vm');
let settings, template;
const limited = (reason) => Object.assign(new Error(reason), { limit: reason });
function load({ jinja, source, longestRange }) {
  const library = require(jinja);
  mean(library, longestRange, (reason) => { throw limited(reason); });
  return parsed(library, source);
}
const script = new vm.Script('renderNow()');
function answer(variables) {
  try {
    globalThis.renderNow = () => {
      template ??= load(settings);
      return template.render(JSON.parse(variables));
    };
    const text = script.runInThisContext({ timeout: settings.deadlineMs });
    if (typeof text !== 'string') throw new Error('the template gave no text');
    if (text.length <= settings.longestText) return { text };
    return { limit: 'gave ' + text.length + ' characters, at most ' + settings.longestText + ' are taken' };
  } catch (error) {
    if (error && error.limit) return { limit: error.limit };
    if (error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT')
      return { limit: 'did not end within ' + settings.deadlineMs + ' ms' };
    const unsupported = Boolean(error && error.unsupported);
    return { error: String(error && error.message || error).slice(0, 500), unsupported };
  }
}
process.on('message', (message) => {
  if (settings === undefined) settings = message;
  else process.send(answer(message));
});
process.on('SIGINT', () => undefined).on('SIGTERM', () => undefined);
process.on('disconnect', () => process.exit());
`;

interface Reply {
  readonly text?: string;
  readonly error?: string;
  /** The error is that of a feature which is not rendered here, and named. */
  readonly unsupported?: boolean;
  readonly limit?: string;
}

/** A send that fails shows as the exit that is waited for. */
const ignore = (): void => undefined;

function start(memoryMb: number): ChildProcess {
  const child = startProgram(['-e', PROGRAM], memoryMb);
  child.on('error', ignore); // told by whoever asks
  holdRun(child, false);
  return child;
}

/** The reply; the error where there is none, because the time is up or the process has ended. */
function ask(child: ChildProcess, variables: string, deadlineMs: number, where: string): Promise<Reply> {
  return new Promise<Reply>((resolve, reject) => {
    const onMessage = (message: unknown): void => finish(() => resolve(message as Reply));
    const onExit = (): void => finish(() => reject(limited('used up its memory, and its process has ended', where)));
    const onError = (cause: Error): void => finish(() => reject(notStarted(cause, where)));
    const onTime = (): void => finish(() => reject(limited(`did not end within ${deadlineMs} ms`, where)));
    const timer = setTimeout(onTime, deadlineMs);
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      child.off('message', onMessage).off('error', onError).off('exit', onExit);
      holdRun(child, false);
      settle();
    };
    child.on('message', onMessage).on('error', onError).on('exit', onExit);
    holdRun(child, true);
    child.send(variables, ignore);
  });
}

function limited(what: string, where: string): SightlineError {
  return new SightlineError('E_TEMPLATE_LIMIT', `the chat template ${what}`, {
    where,
    hint: 'use the template the model was published with',
  });
}

function refused(reason: string, unsupported: boolean, where: string): SightlineError {
  // The reason may be the template's own words: quoted, they cannot speak to the terminal.
  return new SightlineError('E_TEMPLATE_INVALID', `the chat template failed: ${shownJson(reason, 600)}`, {
    where,
    hint: unsupported
      ? 'write this part of the template otherwise; what it renders must stay the same'
      : 'check the order of roles in the conversation, and that the template is the published one',
  });
}

function notStarted(cause: Error, where: string): SightlineError {
  return new SightlineError('E_TEMPLATE_PROCESS', `the chat template has no process: ${messageOf(cause)}`, {
    where,
    hint: `check that ${process.execPath} can start another process`,
    exitCode: 1,
    cause,
  });
}
