/**
 * The args.json that a run of ms-swift 4.6 leaves in its folder: the arguments it was given, and beside them what it found out
 * about itself, which is no argument.
 * Knows the names of ms-swift, not the flags here.
 */

export interface ConfigEntries {
  /** Values by flag name. */
  readonly entries: ReadonlyMap<string, unknown>;
  /** Sentences about entries that were left out. */
  readonly notices: readonly string[];
}

/** The arguments in such a file; any other file is given back as it is. */
export function argumentsOfMsSwift(entries: ReadonlyMap<string, unknown>): ConfigEntries {
  const version = entries.get('swift_version');
  if (version === undefined) return { entries, notices: [] };
  const kept = new Map([...entries].filter(([name]) => !FINDINGS.has(name)));
  const frozen = kept.get('freeze_parameters');
  if (Array.isArray(frozen)) {
    // Computed from these flags, and stored where the user's own prefixes would be.
    const implied = Object.entries(PARTS).flatMap(([flag, names]) => (entries.get(flag) === true ? names : []));
    const own = frozen.filter((name) => !implied.includes(String(name)));
    if (own.length > 0) kept.set('freeze_parameters', own);
    else kept.delete('freeze_parameters');
  }
  const notices = [
    `the configuration is an args.json of ms-swift ${String(version)}; what it says of that run (${[...FINDINGS].join(', ')}) is left out`,
  ];
  if (kept.get('truncation_strategy') === 'left') {
    kept.delete('truncation_strategy');
    notices.push(
      'truncation_strategy left, which ms-swift sets for every GRPO run, is left out: a row longer than --max_length ends the run, or is left out with --truncation_strategy delete',
    );
  }
  return { entries: kept, notices };
}

// --- internal ---

/** Attributes of ms-swift's arguments object that no command line sets. */
const FINDINGS: ReadonlySet<string> = new Set([
  'swift_version',
  'ckpt_dir',
  'rank',
  'global_world_size',
  'local_world_size',
  'model_suffix',
  'model_info',
  'model_meta',
  'model_dir',
  'template_meta',
  'hub',
  'evaluation_strategy',
  'training_args',
]);

/** Prefixes that ms-swift's tuner_args.py adds for each part of Qwen-VL models, of either layout of names. */
const PARTS: Readonly<Record<string, readonly string[]>> = {
  freeze_llm: ['model.language_model', 'language_model', 'model', 'lm_head'],
  freeze_vit: ['model.visual', 'visual'],
  freeze_aligner: [
    'model.visual.merger',
    'visual.merger',
    'model.visual.deepstack_merger_list',
    'visual.deepstack_merger_list',
  ],
};
