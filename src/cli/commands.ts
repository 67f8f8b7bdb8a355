/**
 * The list of commands. A new command is one more entry. The code of a command is loaded only when it runs, so that --help
 * stays fast.
 */
import type { CommandSpec } from '../arguments/command.ts';
import { devicesCommand } from '../arguments/devices.ts';
import { doctorCommand } from '../arguments/doctor.ts';
import { exportCommand } from '../arguments/export.ts';
import { helpText } from '../arguments/help.ts';
import { inferCommand } from '../arguments/infer.ts';
import { reportCommand } from '../arguments/report.ts';
import { rewardServerCommand } from '../arguments/reward_server.ts';
import { rlhfCommand } from '../arguments/rlhf.ts';
import { scoreCommand } from '../arguments/score.ts';
import { sftCommand } from '../arguments/sft.ts';
import { uiCommand } from '../arguments/ui.ts';
import { demo, demoHelp } from './demo.ts';
import { ENGINE_SUMMARY, engine, engineHelp } from './engine.ts';
import type { Io } from './io.ts';

export interface CliCommand {
  readonly name: string;
  /** One line for `sightline --help`. */
  readonly summary: string;
  /** Names of the command in other programs, only for suggestions in errors. */
  readonly alsoCalled?: readonly string[];
  /** Text of --help for the words after the command's name. If absent, `run` gets --help like any other word. */
  help?(words: readonly string[], io: Io): string | Promise<string>;
  /** Runs with the words after the command's name. */
  run(words: readonly string[], io: Io): Promise<void>;
}

export const commands: readonly CliCommand[] = [
  {
    ...command(rlhfCommand, ['train', 'grpo'], async (words, io) => (await import('./rlhf.ts')).rlhf(words, io)),
    help: async (words, io) =>
      words.some((word) => PLUGINS.test(word))
        ? (await import('./rlhf.ts')).rlhfHelp(words, io)
        : helpText((await import('../arguments/reward_flags.ts')).rlhfWithEngines()),
  },
  command(sftCommand, ['train', 'finetune'], async (words, io) => (await import('./sft.ts')).sft(words, io)),
  command(inferCommand, ['chat', 'generate'], async (words, io) => (await import('./infer.ts')).infer(words, io)),
  command(scoreCommand, [], async (words, io) => (await import('./score.ts')).score(words, io)),
  command(exportCommand, ['merge', 'merge-lora'], async (words, io) =>
    (await import('./export.ts')).exportModel(words, io),
  ),
  command(rewardServerCommand, [], async (words, io) => (await import('./reward_server.ts')).rewardServer(words, io)),
  command(uiCommand, ['dashboard', 'view', 'web-ui'], async (words, io) => (await import('./ui.ts')).ui(words, io)),
  command(doctorCommand, ['diagnose', 'check'], async (words, io) => (await import('./doctor.ts')).doctor(words, io)),
  command(devicesCommand, ['gpus', 'adapters'], async (words, io) => (await import('./devices.ts')).devices(words, io)),
  command(reportCommand, ['summary'], async (words, io) => (await import('./report.ts')).report(words, io)),
  { name: 'engine', summary: ENGINE_SUMMARY, help: engineHelp, run: engine },
  {
    name: 'demo',
    summary: 'make the data, the tokenizer and the checkpoint of the embedded demo',
    help: demoHelp,
    run: demo,
  },
];

// --- internal ---

/** The flag whose plugins add flags. */
const PLUGINS = /^--external[_-]plugins(=|$)/;

function command(spec: CommandSpec, alsoCalled: readonly string[], run: CliCommand['run']): CliCommand {
  return { name: spec.name, alsoCalled, summary: spec.summary, help: () => helpText(spec), run };
}
