/**
 * Renders one Jinja template in a process of its own, with a deadline and a memory cap, because the template is untrusted code.
 * Knows how to survive a hanging or crashing template, not where templates come from. The only user of @huggingface/jinja.
 */
import type { ChildProcess } from 'node:child_process';
import { createRequire } from 'node:module';
import { messageOf, SightlineError } from '../errors.ts';
import { holdRun, startProgram } from '../util/child_program.ts';
import { shownJson } from '../util/json.ts';
import { PYTHON_SEMANTICS } from './jinja/python_semantics.ts';

export interface RenderLimits {
  /** Milliseconds that one render may take, including the start of the process; default 10,000. */
  readonly deadlineMs?: number;
  /** Heap limit of the process in MB; default 128. */
  readonly memoryMb?: number;
}

export interface RenderProcess {
  /**
   * Renders the text for variables in JSON. One call at a time. Starts the process if none is running.
   * Errors: E_TEMPLATE_INVALID, E_TEMPLATE_LIMIT; E_TEMPLATE_PROCESS if no process can be started.
   */
  render(variables: string): Promise<string>;
  close(): Promise<void>;
}

/** The child process keeps this one alive only while a render is pending. */
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
    ended.ref(); // keeps this process alive until the child has exited
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
      // Any reply, even an error, means that the process is usable. After a deadline or a crash the next render starts another.
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
/** Maximum number of characters in a rendered conversation. */
const LONGEST_TEXT = 16_000_000;
/** Maximum length of one range(). Published templates only count messages with it. */
const LONGEST_RANGE = 100_000;

/**
 * The program of the process: CommonJS in a string, because tests run TypeScript and the build runs JavaScript. It refuses a
 * long text before copying it out, and a long range() before making it. It has a deadline of its own, in case its parent
 * process dies. It ignores SIGINT and SIGTERM, because a terminal sends them to the whole process group.
 */
const PROGRAM = `
${PYTHON_SEMANTICS}
const vm = require('node:vm');
let settings, template;
const limited = (reason) => Object.assign(new Error(reason), { limit: reason });
function load({ jinja, source, longestRange }) {
  const library = require(jinja);
  patchInterpreter(library, longestRange, (reason) => { throw limited(reason); });
  return parseTemplate(library, source);
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
    return { limit: 'rendered ' + text.length + ' characters; the limit is ' + settings.longestText };
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
  /** Whether the error names a feature of Jinja that is not supported here. */
  readonly unsupported?: boolean;
  readonly limit?: string;
}

/** A failed send needs no handling: the exit of the process, which `ask` waits for, reports it. */
const ignore = (): void => undefined;

function start(memoryMb: number): ChildProcess {
  const child = startProgram(['-e', PROGRAM], memoryMb);
  child.on('error', ignore); // `ask` reports it
  holdRun(child, false);
  return child;
}

/** Resolves to the reply. Rejects if the deadline passes, the process exits or it cannot be started. */
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
  // The reason may contain text of the template. Quoting it keeps control characters from reaching the terminal.
  return new SightlineError('E_TEMPLATE_INVALID', `the chat template failed: ${shownJson(reason, 600)}`, {
    where,
    hint: unsupported
      ? 'rewrite this part of the template so that it renders the same text without this feature'
      : 'check the order of roles in the conversation, and that the template is the published one',
  });
}

function notStarted(cause: Error, where: string): SightlineError {
  return new SightlineError(
    'E_TEMPLATE_PROCESS',
    `the process that renders the chat template did not start: ${messageOf(cause)}`,
    {
      where,
      hint: `check that ${process.execPath} can start another process`,
      exitCode: 1,
      cause,
    },
  );
}
