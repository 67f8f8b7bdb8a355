/**
 * Loads the files of `--external_plugins`: TypeScript or JavaScript that registers rewards by assigning to `orms`.
 * Knows how to run a file and how to say where it fails; knows nothing of what it registers.
 */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { createJiti } from 'jiti';
import { messageOf, SightlineError } from '../errors.ts';
import { untilAborted } from '../util/until_aborted.ts';
import { ormFiles, orms } from './registry.ts';
import { placeIn } from './source_location.ts';

export interface LoadedPlugin {
  /** Absolute path. */
  readonly file: string;
  /** SHA-256 of the file, hex: plugins are code, so a run records which code it trusted. */
  readonly sha256: string;
  /** Names it registered or replaced. */
  readonly registered: readonly string[];
}

export interface PluginLoading {
  /** Ends the wait for a plugin. */
  readonly signal?: AbortSignal;
  /** Told which plugin takes long. */
  readonly warn?: (text: string) => void;
}

const extensions = ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs'];

/**
 * Runs each plugin file once, in order. `import ... from 'sightline'` inside a plugin is the running package itself, so
 * what it registers is seen here. Enums, decorators of TypeScript and top-level await work on every Node version.
 *
 * @param paths relative to the current folder, or absolute
 * @throws SightlineError E_PLUGIN_MISSING, E_PLUGIN_TYPE, E_PLUGIN_SYNTAX, E_PLUGIN_THREW, with file:line of the source; or
 * the signal's reason
 */
export async function loadPlugins(paths: readonly string[], loading: PluginLoading = {}): Promise<LoadedPlugin[]> {
  const loaded: LoadedPlugin[] = [];
  for (const path of paths) loaded.push(await loadPlugin(resolve(path), loading));
  return loaded;
}

// --- internal ---

async function loadPlugin(
  file: string,
  { signal = new AbortController().signal, warn = () => undefined }: PluginLoading,
): Promise<LoadedPlugin> {
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) {
    throw new SightlineError('E_PLUGIN_MISSING', `plugin file not found: ${file}`, {
      where: '--external_plugins',
      hint: 'give the path of a .ts or .js file',
    });
  }
  if (!extensions.includes(extname(file))) {
    throw new SightlineError('E_PLUGIN_TYPE', `a plugin is TypeScript or JavaScript, got ${file}`, {
      where: '--external_plugins',
      hint:
        extname(file) === '.py'
          ? 'write the reward as a class with call(completions, kwargs) in a .ts file, as in examples/train/grpo/plugin/plugin.ts'
          : `known extensions: ${extensions.join(' ')}`,
    });
  }
  const sha256 = createHash('sha256').update(readFileSync(file)).digest('hex');
  const before = { ...orms };
  // A name, not a cycle: the public API re-exports this module, and is needed only once a plugin is run.
  const sightline: unknown = await import('../index.ts');
  const jiti = createJiti(import.meta.url, {
    fsCache: false,
    moduleCache: false,
    interopDefault: false,
    virtualModules: { sightline },
  });
  try {
    await untilAborted(jiti.import(file), signal, (seconds) =>
      warn(
        `the plugin ${file} is still loading after ${seconds} s; the run waits for what it awaits at its top level. Ctrl-C ends the run, nothing has been trained yet.`,
      ),
    );
  } catch (error) {
    if (signal.aborted && error === signal.reason) throw error;
    throw pluginError(error, file);
  }
  const registered = Object.keys(orms).filter((name) => orms[name] !== before[name]);
  for (const name of registered) ormFiles.set(name, file);
  return { file, sha256, registered };
}

function pluginError(error: unknown, file: string): SightlineError {
  if (error instanceof SightlineError) return error;
  const [message] = messageOf(error).split('\n') as [string];
  const where = placeIn(error, file);
  const parse = /^ParseError:\s*(.*?)\s*$/.exec(message); // the loader's way of naming a SyntaxError
  if (parse || (error instanceof Error && error.name === 'SyntaxError')) {
    return new SightlineError('E_PLUGIN_SYNTAX', `plugin does not parse: ${parse?.[1] ?? message}`, {
      where,
      hint: 'fix the file at this position',
      cause: error,
    });
  }
  return new SightlineError('E_PLUGIN_THREW', `plugin threw while loading: ${message}`, {
    where,
    hint: /Cannot find (module|package)/.test(message)
      ? 'install the package beside the plugin, or correct the import'
      : 'correct the file; nothing has been trained yet',
    cause: error,
  });
}
