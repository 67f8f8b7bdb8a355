/**
 * Loads the files of `--external_plugins`: TypeScript or JavaScript that registers rewards by assigning to `orms`.
 * Knows how to run a file and how to report where it fails; knows nothing about the rewards.
 */
import { statSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { createJiti } from 'jiti';
import { messageOf, SightlineError } from '../errors.ts';
import { untilAborted } from '../util/until_aborted.ts';
import { ormFiles, orms } from './registry.ts';
import { locationIn } from './source_location.ts';

export interface PluginLoading {
  /** Aborts the wait for a plugin. */
  readonly signal?: AbortSignal;
  /** Called when a plugin takes long to load. */
  readonly warn?: (text: string) => void;
}

const extensions = ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs'];

/**
 * Runs each plugin file once, in order, and records in `ormFiles` which rewards it registered or replaced. Inside a plugin,
 * `import ... from 'sightline'` gives the running package itself, so its registrations take effect here. TypeScript enums and
 * decorators and top-level await work on every Node version.
 *
 * @param paths relative to the current folder, or absolute
 * @throws SightlineError E_PLUGIN_MISSING, E_PLUGIN_TYPE, E_PLUGIN_SYNTAX, E_PLUGIN_THREW, with file:line of the source; the
 * signal's reason if it is aborted
 */
export async function loadPlugins(paths: readonly string[], loading: PluginLoading = {}): Promise<void> {
  for (const path of paths) await loadPlugin(resolve(path), loading);
}

// --- internal ---

async function loadPlugin(
  file: string,
  { signal = new AbortController().signal, warn = () => undefined }: PluginLoading,
): Promise<void> {
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
  const before = { ...orms };
  // Imported at run time: the public API re-exports this module, so a static import would be a cycle.
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
        `the plugin ${file} is still loading after ${seconds} s; the run waits for its top-level await. Ctrl-C ends the run; nothing has been trained yet.`,
      ),
    );
  } catch (error) {
    if (signal.aborted && error === signal.reason) throw error;
    throw pluginError(error, file);
  }
  for (const name of Object.keys(orms)) if (orms[name] !== before[name]) ormFiles.set(name, file);
}

function pluginError(error: unknown, file: string): SightlineError {
  if (error instanceof SightlineError) return error;
  const [message] = messageOf(error).split('\n') as [string];
  const where = locationIn(error, file);
  const parse = /^ParseError:\s*(.*?)\s*$/.exec(message); // how the loader reports a SyntaxError
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
      ? 'install the package next to the plugin, or correct the import'
      : 'correct the file; nothing has been trained yet',
    cause: error,
  });
}
