/**
 * Paths of the parts of integrations/ms_swift.
 */
import { fileURLToPath } from 'node:url';

/** ms-swift loads it with --external_plugins. */
export const PLUGIN = inPackage('integrations/ms_swift/plugin.py');
/** Prints which packages and GPUs a Python has. */
export const PROBE = inPackage('integrations/ms_swift/probe.py');
/** The versions with which the plugin is tested. */
export const REQUIREMENTS = inPackage('integrations/ms_swift/requirements.txt');
/** The script of the reward server. */
export const PROGRAM = inPackage('dist/cli/main.js');

// --- internal ---

function inPackage(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}
