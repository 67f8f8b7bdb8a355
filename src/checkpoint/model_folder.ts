/**
 * Finds the folder of a model on this machine, from a path or from ORGANISATION/NAME in the caches of Hugging Face and
 * ModelScope. Downloads nothing. Knows the layouts of the caches, not the contents of a checkpoint.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** The folder, or the fault and how to fix it. */
export type FoundModel = { readonly dir: string } | { readonly fault: string; readonly fix: string };

/**
 * @param model a folder or a name; an existing folder takes precedence
 * @param revision branch, tag or commit of a named model; null: the hub's default
 */
export function findModel(model: string, revision: string | null, env: Environment): FoundModel {
  if (isFolder(model)) {
    if (revision === null) return { dir: model };
    const fault = `--model_revision ${revision} is given, but --model is a folder, which has no revisions: ${model}`;
    return { fault, fix: 'leave --model_revision out, or give the name of a model' };
  }
  if (existsSync(model)) return { fault: `is a file, not a folder: ${model}`, fix: 'give the folder that contains it' };
  if (!MODEL_NAME.test(model)) return { fault: `no such folder: ${model}`, fix: 'check the path' };
  if (revision !== null && !REVISION.test(revision)) {
    return {
      fault: `--model_revision is ${JSON.stringify(revision)}, expected a branch, a tag or a commit`,
      fix: 'check it',
    };
  }
  const caches = [huggingFaceCache(env), modelScopeCache(env)] as const;
  const dir = huggingFaceSnapshot(caches[0], model, revision) ?? modelScopeSnapshot(caches[1], model, revision);
  if (dir !== null) return { dir };
  const of = revision === null ? '' : ` at revision ${revision}`;
  const has = snapshotsOf(caches[0], model);
  const others = has.length === 0 ? '' : ` (of this model it has ${has.slice(0, 3).join(', ')})`;
  const command = `hf download ${model}${revision === null ? '' : ` --revision ${revision}`}`;
  return {
    fault: `no such folder, and no model of that name${of} in the cache ${caches[0]}${others}: ${model}`,
    fix: `check the path; or, for a model of the Hugging Face hub, download it first: ${command}`,
  };
}

/** How to complete a folder that lacks a file. For a folder of the Hugging Face cache, the hint has the command. */
export function howToFetch(dir: string): string {
  const command = downloadOf(dir);
  return command === null ? `fetch it again into ${dir}` : `complete the download: ${command}`;
}

/** The command that downloads a folder of the Hugging Face cache; null for any other folder. */
export function downloadOf(dir: string): string | null {
  const snapshots = dirname(dir);
  const [, organisation, name] = /^models--(.+)--(.+)$/.exec(basename(dirname(snapshots))) ?? [];
  if (basename(snapshots) !== 'snapshots' || organisation === undefined) return null;
  return `hf download ${organisation}/${name} --revision ${basename(dir)}`;
}

// --- internal ---

/** ORGANISATION/NAME, by the rules of huggingface_hub's `validate_repo_id`; without "..". */
const MODEL_NAME = /^(?!.*(--|\.\.))\w[\w.-]*\/\w[\w.-]{0,95}$/;

/** Includes forms such as `refs/pr/3`. */
const REVISION = /^(?!.*\.\.)[\w][\w./+-]{0,199}$/;

/** As huggingface_hub resolves it (`constants.py`). */
function huggingFaceCache(env: Environment): string {
  const home = env.HF_HOME ?? join(env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface');
  return expanded(env.HF_HUB_CACHE ?? env.HUGGINGFACE_HUB_CACHE ?? join(expanded(home, env), 'hub'), env);
}

/** As modelscope resolves it. */
function modelScopeCache(env: Environment): string {
  return expanded(env.MODELSCOPE_CACHE || join(homedir(), '.cache', 'modelscope'), {});
}

/** Expands `~` and `$NAME` like Python's `expanduser` and `expandvars`; unset variables stay as written. */
function expanded(path: string, env: Environment): string {
  const fromHome = path.replace(/^~(?=\/|$)/, homedir());
  return fromHome.replace(/\$(?:\{(\w+)\}|(\w+))/g, (text, braced, plain) => env[braced ?? plain] ?? text);
}

/** The folder `models--ORGANISATION--NAME/snapshots/COMMIT`; `refs/NAME` holds the commit of a branch or tag. */
function huggingFaceSnapshot(cache: string, model: string, revision: string | null): string | null {
  const folder = repositoryIn(cache, model);
  const wanted = revision ?? 'main';
  const ref = join(folder, 'refs', wanted);
  const commit = isFile(ref) ? readFileSync(ref, 'utf8').trim() : wanted;
  const snapshot = join(folder, 'snapshots', commit);
  return /^[0-9a-f]{40}$/.test(commit) && isFolder(snapshot) ? snapshot : null;
}

const repositoryIn = (cache: string, model: string): string => join(cache, `models--${model.replace('/', '--')}`);

/** The revisions of a model that are in the cache: branches and tags, or else commits. */
function snapshotsOf(cache: string, model: string): string[] {
  const [refs, snapshots] = ['refs', 'snapshots'].map((name) => join(repositoryIn(cache, model), name)) as [
    string,
    string,
  ];
  const named = isFolder(refs)
    ? readdirSync(refs).filter((name) => huggingFaceSnapshot(cache, model, name) !== null)
    : [];
  return named.length > 0 || !isFolder(snapshots) ? named : readdirSync(snapshots);
}

/** Older versions of modelscope keep one revision, in a folder with `___` for dots; newer ones keep snapshots by name. */
function modelScopeSnapshot(cache: string, model: string, revision: string | null): string | null {
  const [organisation, name] = model.split('/') as [string, string];
  const older = [join(cache, 'models'), join(cache, 'hub', 'models')].map((folder) =>
    join(folder, organisation, name.replaceAll('.', '___')),
  );
  const snapshots = join(cache, 'models', `${organisation}--${name}`, 'snapshots');
  const newer = (revision === null ? ['master', 'main'] : [revision]).map((version) => join(snapshots, version));
  return [...(revision === null ? older : []), ...newer].find(isFolder) ?? null;
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile();
}

function isFolder(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory();
}
