/**
 * `sightline reward-server`: serves rewards until its signal is aborted or, if asked for, its standard input ends.
 */
import { readRewardServerArguments } from '../arguments/arguments.ts';
import { cleanText } from '../util/clean_text.ts';
import type { Io } from './io.ts';

export async function rewardServer(words: readonly string[], io: Io): Promise<void> {
  const { args, notices } = readRewardServerArguments(words, io.env);
  const tell = (text: string): void => void io.stderr.write(`note: ${cleanText(text)}\n`);
  for (const text of notices) tell(text);
  const ended = new AbortController();
  const signal = AbortSignal.any([io.signal, ended.signal]);
  if (args.exitWithStdin) {
    io.stdin.once('end', () => ended.abort());
    io.stdin.resume();
  }
  const { loadPlugins } = await import('../rewards/plugin.ts');
  const { serveRewards } = await import('../reward_server/server.ts');
  await loadPlugins(args.externalPlugins, { signal, warn: tell });
  const options = {
    socket: args.socket,
    deadline: args.deadline,
    rule: { timeout: args.rewardTimeout, onError: args.rewardError },
    maxRequestBytes: args.maxRequestMib * 2 ** 20,
    signal,
  };
  await serveRewards(options, () => io.stdout.write(`ready ${args.socket}\n`));
}
