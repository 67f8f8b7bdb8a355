#!/usr/bin/env node
/**
 * The `sightline` program.
 */
import { commands } from './commands.ts';
import { runProcess } from './process.ts';

await runProcess(commands);
