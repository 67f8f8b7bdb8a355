/**
 * Where the parts of the integration lie in this package.
 */
import { fileURLToPath } from 'node:url';

/** Loaded by ms-swift with --external_plugins. */
export const PLUGIN = inPackage('integrations/ms_swift/plugin.py');
/** Says what a Python has installed. */
export const PROBE = inPackage('integrations/ms_swift/probe.py');
/** Versions that the plugin is tested with. */
export const REQUIREMENTS = inPackage('integrations/ms_swift/requirements.txt');
/** Started as the reward server. */
export const PROGRAM = inPackage('dist/cli/main.js');

// --- internal ---

function inPackage(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}
