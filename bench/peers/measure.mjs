/**
 * One run, timed from outside: step times from the clock of the trivial reward, peak memory, and what else the machine was
 * busy with. Reads /proc, so Linux only; knows nothing of what is run.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 200;
const STOP_SIGNALS = ['SIGINT', 'SIGTERM'];
/** Linux counts processor time in this many ticks a second (USER_HZ), on every platform that Node runs on. */
const TICKS_PER_SECOND = 100;

/**
 * Runs a command to its end.
 *
 * A step's time is the time between two calls of its trivial reward, so one step more than periods is run. The first period
 * is the warm-up and is dropped.
 *
 * @param command from systems.mjs; paths.clock: file the reward writes to; paths.log: output of the command
 * @param completions expected lengths of the completions of a step, in tokens
 * @returns steps: of each measured step its seconds, its cpuSeconds on all cores, and otherCores: how many cores were busy with
 *   other processes, on average;
 *   peakBytes: resident set at its highest
 */
export async function measureRun({ command, args, env }, paths, completions) {
  rmSync(paths.clock, { force: true });
  const log = openSync(paths.log, 'w');
  const child = spawn(command, args, { env: { ...env, PEERS_CLOCK: paths.clock }, stdio: ['ignore', log, log] });
  closeSync(log);
  // The run ends with its command, and then says so.
  const stop = () => child.kill();
  for (const signal of STOP_SIGNALS) process.on(signal, stop);
  let peakBytes = 0;
  const looks = [];
  const poll = setInterval(() => {
    const usage = usageOf(child.pid);
    if (usage === null) return;
    peakBytes = usage.peakBytes;
    looks.push({ time: Date.now(), own: usage.cpuSeconds, other: busySeconds() - usage.cpuSeconds });
  }, POLL_MS);
  const failure = await new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(code === 0 ? null : `ended with ${signal ?? `code ${code}`}`));
  });
  clearInterval(poll);
  for (const signal of STOP_SIGNALS) process.off(signal, stop);
  if (failure !== null) {
    const output = readFileSync(paths.log, 'utf8').trim().split('\n').slice(-30).join('\n');
    throw new Error(`${command} ${args[0]}: ${failure}; the end of its output:\n${output}`);
  }

  const calls = readClock(paths.clock, completions);
  const periods = calls.slice(1).map((end, i) => ({
    seconds: (end - calls[i]) / 1000,
    ...usageBetween(looks, calls[i], end),
  }));
  return { steps: periods.slice(1), peakBytes };
}

/** Waits until the machine does little else, `maxSeconds` at most. Returns how many cores were busy when it ended. */
export async function waitForIdle(maxSeconds, maxBusyCores = 0.2) {
  const begin = performance.now();
  for (;;) {
    const [start, before] = [performance.now(), busySeconds()];
    await sleep(2000);
    const busy = (busySeconds() - before) / ((performance.now() - start) / 1000);
    if (busy <= maxBusyCores || performance.now() - begin > maxSeconds * 1000) return busy;
  }
}

// --- internal ---

/** Times of the calls in ms. Every call must have seen completions of the expected lengths: otherwise the work differed. */
function readClock(path, completions) {
  if (!existsSync(path)) throw new Error('the trivial reward was never called');
  const expected = completions.join(' ');
  return readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line, i) => {
      const [time, ...lengths] = line.split(' ');
      if (lengths.join(' ') !== expected)
        throw new Error(`step ${i + 1}: completions of ${lengths} tokens, expected ${completions}`);
      return Number(time);
    });
}

/** Processor seconds of the run, and cores busy with other processes, between two times in ms: from the looks nearest to them. */
function usageBetween(looks, begin, end) {
  const first = looks.findLast(({ time }) => time <= begin) ?? looks[0];
  const last = looks.find(({ time }) => time >= end) ?? looks.at(-1);
  const seconds = (last.time - first.time) / 1000;
  return {
    cpuSeconds: last.own - first.own,
    otherCores: Math.max(0, (last.other - first.other) / seconds),
  };
}

/** Resident set at its highest, and processor time so far; null once the process is gone. */
function usageOf(pid) {
  try {
    const peakKiB = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    // utime and stime are fields 14 and 15; the second field, a name in brackets, may hold spaces.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
    if (peakKiB === null) return null;
    return {
      peakBytes: Number(peakKiB[1]) * 1024,
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
    };
  } catch {
    return null; // it ended between two looks
  }
}

/** Processor time that all cores have spent on work since the machine started. */
function busySeconds() {
  const [user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'utf8')
    .split('\n')[0]
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}
