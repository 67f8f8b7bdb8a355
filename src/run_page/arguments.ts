/**
 * The arguments of a run. Secrets, which ms-swift writes into args.json, are left out, because a page is passed on.
 */
import { cutText } from '../report/text.ts';
import type { JsonObject } from '../util/json.ts';
import { folded, type Html, html } from './html.ts';

export function argumentTables(args: JsonObject): Html {
  const names = Object.keys(args).filter((name) => name !== '_sightline');
  if (names.length === 0) return html`<p class="faint">The run has no args.json that can be read.</p>`;
  const main = MAIN.filter((name) => !isEmpty(args[name]));
  const others = names.filter((name) => !main.includes(name)).sort();
  return html`${table(args, main)}${folded(others, 'other argument', table(args, others))}`;
}

// --- internal ---

const LONGEST = 2000;
const SECRET = /(^|_)(token|api_?key|secret|password|passwd|credentials?)$/i;

const MAIN = [
  'model',
  'adapters',
  'dataset',
  'val_dataset',
  'reward_funcs',
  'reward_weights',
  'external_plugins',
  'system',
  'tuner_type',
  'train_type',
  'learning_rate',
  'lr_scheduler_type',
  'beta',
  'num_generations',
  'per_device_train_batch_size',
  'gradient_accumulation_steps',
  'max_completion_length',
  'temperature',
  'max_steps',
  'num_train_epochs',
  'seed',
];

const isEmpty = (value: unknown): boolean =>
  value === undefined || value === null || (Array.isArray(value) && value.length === 0);

function table(args: JsonObject, names: readonly string[]): Html {
  const rows = names.map((name) => html`<tr><th scope="row">${name}</th><td>${shown(name, args[name])}</td></tr>`);
  return html`<table class="plain">${rows}</table>`;
}

function shown(name: string, value: unknown): string {
  if (SECRET.test(name) && value !== null && value !== '') return 'left out';
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return cutText(value.join(' '), LONGEST);
  return cutText(typeof value === 'string' ? value : JSON.stringify(value), LONGEST);
}
