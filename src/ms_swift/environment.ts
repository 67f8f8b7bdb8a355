/**
 * Checks that the engine's Python has what ms-swift needs, and lists what is missing with the commands that install it.
 * Knows versions and GPUs, not training.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { MsSwiftArguments } from '../arguments/arguments.ts';
import type { Environment } from '../arguments/parse.ts';
import { messageOf, SightlineError } from '../errors.ts';
import { plural } from '../util/plural.ts';
import { PROBE, REQUIREMENTS } from './files.ts';

/** The answer of probe.py. */
interface Answer {
  readonly python: readonly [number, number, number];
  readonly versions: Readonly<Record<string, string | null>>;
  readonly gpus: number;
  /** Why torch cannot be imported. */
  readonly torch_fault: string | null;
}

export interface EngineFacts {
  /** Null if Python could not be run. */
  readonly gpus: number | null;
  /** Notes on versions other than the tested ones. */
  readonly notes: readonly string[];
  /** E_ENGINE, which lists everything that is missing or does not fit. */
  readonly fault: SightlineError | null;
}

/** Errors: the signal's reason. */
export async function lookAtEnvironment(
  args: MsSwiftArguments,
  env: Environment,
  signal: AbortSignal,
): Promise<EngineFacts> {
  const python = args.args.enginePython;
  const tested = testedVersions();
  const extras = extrasOf(args);
  const answer = await ask(python, [...tested.keys(), ...Object.keys(extras)], env, signal);
  if (answer instanceof SightlineError) return { gpus: null, notes: [], fault: answer };
  const problems = [
    ...oldPython(answer, python),
    ...missing(answer, tested, extras, python),
    ...gpuProblems(answer, args),
  ];
  const notes = problems.length === 0 ? otherVersions(answer, tested) : [];
  return { gpus: answer.gpus, notes, fault: faultOf(problems, python) };
}

/** Whether a flag of ms-swift was given a value other than false or none; no word after it means true. */
export function asksFor({ handedOn }: Pick<MsSwiftArguments, 'handedOn'>, name: string): boolean {
  const words = handedOn.get(name);
  return words !== undefined && !['false', 'none', 'null', ''].includes((words[0] ?? 'true').toLowerCase());
}

// --- internal ---

interface Problem {
  readonly message: string;
  readonly fix: string;
}

/** The plugin uses features of this version. */
const OLDEST_PYTHON = [3, 11] as const;
/** The plugin uses internals of this package, so its version must be exact. */
const EXACT = 'ms-swift';
/** Importing torch from a slow disk takes long. */
const PATIENCE_MS = 180_000;

function faultOf([first, ...others]: readonly Problem[], python: string): SightlineError | null {
  const where = `--engine_python ${python}`;
  if (first === undefined) return null;
  if (others.length === 0) return new SightlineError('E_ENGINE', first.message, { where, hint: first.fix });
  const lines = [first, ...others].map(({ message, fix }) => `  ✖ ${message}; ${fix}`);
  return new SightlineError('E_ENGINE', ['ms-swift cannot run yet:', ...lines].join('\n'), {
    where,
    hint: `fix these, then start again; ${installAll(python)} installs everything that is always needed`,
  });
}

/** Version by distribution, from requirements.txt. */
function testedVersions(): Map<string, string> {
  const lines = readFileSync(REQUIREMENTS, 'utf8').split('\n');
  return new Map(
    lines.flatMap((line) =>
      [(/^([\w-]+)==(\S+)$/.exec(line)?.slice(1) as [string, string] | undefined) ?? []].filter(
        (pair) => pair.length === 2,
      ),
    ) as [string, string][],
  );
}

/** Further distributions that these arguments need, with the flag that needs each. */
function extrasOf(given: MsSwiftArguments): Record<string, string> {
  const { args } = given;
  const asks = (name: string): boolean => asksFor(given, name);
  const reports: readonly string[] = args.reportTo;
  return {
    ...(asks('deepspeed') ? { deepspeed: '--deepspeed' } : {}),
    ...(asks('use_vllm') ? { vllm: '--use_vllm' } : {}),
    ...(asks('use_liger_kernel') ? { 'liger-kernel': '--use_liger_kernel' } : {}),
    ...Object.fromEntries(
      ['tensorboard', 'wandb', 'swanlab'].filter((name) => reports.includes(name)).map((name) => [name, '--report_to']),
    ),
    ...(args.attnImpl === 'flash_attention_2' && !asks('use_cpu') ? { 'flash-attn': '--attn_impl' } : {}),
  };
}

async function ask(
  python: string,
  names: readonly string[],
  env: Environment,
  signal: AbortSignal,
): Promise<Answer | SightlineError> {
  try {
    const { stdout } = await promisify(execFile)(python, [PROBE, ...names], {
      env: { ...env },
      timeout: PATIENCE_MS,
      signal,
    });
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Answer;
  } catch (error) {
    signal.throwIfAborted();
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'ENOENT' || code === 'EACCES') {
      return new SightlineError('E_ENGINE', `cannot run ${python}`, {
        where: '--engine_python',
        hint: `give the Python in which ms-swift is installed; or create one: ${FRESH}`,
      });
    }
    const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    return new SightlineError(
      'E_ENGINE',
      `${python} does not work as a Python: ${stderr.split('\n').at(-1) || messageOf(error)}`,
      {
        where: '--engine_python',
        hint: `give the Python in which ms-swift is installed; or create one: ${FRESH}`,
        cause: error,
      },
    );
  }
}

const FRESH = `python3 -m venv swift-env && ${installAll('swift-env/bin/python')}, then --engine_python swift-env/bin/python`;

function installAll(python: string): string {
  return `${python} -m pip install -r ${REQUIREMENTS}`;
}

function oldPython({ python: version }: Answer, python: string): Problem[] {
  const [major, minor] = version;
  const [needed, least] = OLDEST_PYTHON;
  if (major > needed || (major === needed && minor >= least)) return [];
  return [
    {
      message: `${python} is Python ${version.join('.')}, older than ${OLDEST_PYTHON.join('.')}`,
      fix: 'give a newer one with --engine_python',
    },
  ];
}

function missing(
  { versions, torch_fault: fault }: Answer,
  tested: ReadonlyMap<string, string>,
  extras: Readonly<Record<string, string>>,
  python: string,
): Problem[] {
  const needed = [...tested.keys()].filter((name) => versions[name] === null);
  const found = versions[EXACT];
  return [
    ...(needed.length === 0 ? [] : [{ message: `not installed: ${needed.join(', ')}`, fix: installAll(python) }]),
    ...(found != null && found !== tested.get(EXACT)
      ? [
          {
            message: `${EXACT} is ${found}, but the plugin needs ${tested.get(EXACT)}`,
            fix: `${python} -m pip install ${EXACT}==${tested.get(EXACT)}`,
          },
        ]
      : []),
    ...(fault === null ? [] : [{ message: `torch cannot be imported: ${fault}`, fix: 'reinstall torch' }]),
    ...Object.entries(extras).flatMap(([name, flag]) =>
      versions[name] === null
        ? [
            {
              message: `${flag} needs ${name}, which is not installed`,
              fix: `${python} -m pip install ${name}, or leave ${flag} out`,
            },
          ]
        : [],
    ),
  ];
}

function gpuProblems({ gpus }: Answer, { args: { nprocPerNode } }: MsSwiftArguments): Problem[] {
  if (gpus === 0 || nprocPerNode === null || nprocPerNode <= gpus) return [];
  return [
    {
      message: `--nproc_per_node ${nprocPerNode} is more than the ${plural(gpus, 'GPU')} that torch sees`,
      fix: 'lower it, or check CUDA_VISIBLE_DEVICES',
    },
  ];
}

/** Ignores how a version was built (`+cu130`). */
function otherVersions({ versions }: Answer, tested: ReadonlyMap<string, string>): string[] {
  const others = [...tested].filter(([name, version]) => versions[name]?.replace(/\+.*$/, '') !== version);
  if (others.length === 0) return [];
  const said = others.map(([name, version]) => `${name} ${versions[name]} (tested: ${version})`).join(', ');
  return [`the plugin is tested with other versions: ${said}`];
}
