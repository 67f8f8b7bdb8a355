/**
 * All arguments of ms-swift (4.6) and of transformers' Trainer (5.24) that no command here has. Some are accepted without
 * effect; others ask for a missing feature and stop the run with advice on what to do instead.
 * test/arguments/ms_swift has the lists of their arguments and the script that makes them.
 */
import { dataPeers } from './data.ts';
import { machinePeers } from './machine.ts';
import { modelPeers } from './model.ts';
import { objectivePeers } from './objective.ts';
import { runPeers } from './run.ts';
import { samplingPeers } from './sampling.ts';
import type { PeerFlag, PeerTable } from './table.ts';

export type { PeerFlag } from './table.ts';

/** The entry for a flag that no command declares; null if ms-swift and transformers do not have it either. */
export function peerFlag(name: string): PeerFlag | null {
  return FLAGS.get(name) ?? PREFIXES.find(([prefix]) => name.startsWith(prefix))?.[1] ?? null;
}

/** Whether the words after a flag turn its feature off: `--use_vllm false`, `--sequence_parallel_size 1`. */
export function asksForNothing(name: string, words: readonly string[]): boolean {
  const neutral = neutralValues(name);
  return words.length > 0 && words.every((word) => neutral.has(plainNumber(word.toLowerCase())));
}

/** Names of all entries, for suggestions and the docs. */
export function peerFlagNames(): string[] {
  return [...FLAGS.keys()];
}

/** Beginnings of names that are known as a family. */
export function peerFlagFamilies(): string[] {
  return PREFIXES.map(([prefix]) => prefix);
}

/** Names of the listed flags that `swift rlhf` of ms-swift 4.6 has. */
export function msSwiftNames(): ReadonlySet<string> {
  return new Set(peerFlagNames().filter((name) => !NOT_IN_MS_SWIFT.has(name)));
}

// --- internal ---

/** Listed flags of earlier versions, of ms-swift's other commands, of torchrun, and of later versions of transformers. */
const NOT_IN_MS_SWIFT: ReadonlySet<string> = new Set([
  ...['activation_checkpointing', 'activation_checkpointing_kwargs', 'infer_backend', 'load_in_4bit', 'load_in_8bit'],
  ...['merge_lora', 'overwrite_output_dir', 'pipeline_model_parallel_size', 'save_safetensors'],
  ...['tensor_model_parallel_size', 'use_lmdeploy', 'wandb_project'],
  ...['nproc_per_node', 'nnodes', 'node_rank', 'master_addr', 'master_port', 'engine_python'],
]);

const TABLES: readonly PeerTable[] = [samplingPeers, machinePeers, modelPeers, dataPeers, objectivePeers, runPeers];

const FLAGS: ReadonlyMap<string, PeerFlag> = new Map(
  TABLES.flatMap(({ ignored, refused }) => [...entries('ignored', ignored), ...entries('refused', refused)]),
);

const NEUTRAL: ReadonlyMap<string, readonly string[]> = new Map(
  TABLES.flatMap(({ neutral }) => Object.entries(neutral)),
);

const NOTHING = ['false', 'none', 'null', '', '[]', '{}'];

/** Prefixes of the settings of inference engines in ms-swift's other commands. */
const PREFIXES: readonly (readonly [string, PeerFlag])[] = ['vllm_', 'sglang_', 'lmdeploy_'].map((prefix) => [
  prefix,
  { verdict: 'ignored', text: 'it configures an engine that is not used; the built-in engine samples' },
]);

function neutralValues(name: string): ReadonlySet<string> {
  const own = NEUTRAL.get(name) ?? [];
  return new Set(own.includes('true') ? own : [...NOTHING, ...own]);
}

/** Writes `1.0` as `1`. */
function plainNumber(word: string): string {
  return /^-?\d+\.0+$/.test(word) ? String(Number(word)) : word;
}

function entries(verdict: PeerFlag['verdict'], table: PeerTable['ignored']): [string, PeerFlag][] {
  return Object.entries(table).flatMap(([text, names]) =>
    names.map((name): [string, PeerFlag] => [name, { verdict, text }]),
  );
}
