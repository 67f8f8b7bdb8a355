/**
 * Every verdict of the doctor on a run, reproduced by a run of the tiny model, by the run of ms-swift that this project starts
 * from, and by nothing in a run that learns.
 */
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { doctor } from '../../src/cli/doctor.ts';
import { diagnoseRun } from '../../src/doctor/diagnose.ts';
import { VERDICT_CODES, type Verdict, type VerdictCode } from '../../src/doctor/verdict.ts';
import { pretendIo } from '../cli/io.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { type FlagValues, type TinyProject, tinyProject, tinyRun } from '../helpers/tiny.ts';

const root = temporaryFolder();
const ZERO_RUN = fileURLToPath(new URL('ms_swift_zero', import.meta.url));
const seen = new Set<VerdictCode>();
let project: TinyProject;
let plugin: string;

beforeAll(async () => {
  project = await tinyProject(root, 6);
  plugin = join(root, 'rewards.ts');
  writeFileSync(plugin, PLUGIN);
});

/** Rewards that go wrong, each in its way. `letters` of the tiny project is a healthy one. */
const PLUGIN = `import { orms } from 'sightline';
const letters = (text) => text.replace(/[^a-z]/g, '').length / (1 + text.length);
class Against { call(completions) { return completions.map((text) => -letters(text)); } }
class Clipped { call(completions) { return completions.map((text) => Math.min(0.5, letters(text))); } }
class Throws { call() { throw new Error('no such field'); } }
class Slow { call() { return new Promise(() => undefined); } }
class Pays {
  static signals = [{ column: 'share', metric: 'mine/share', watch: { pays: 'low', turned: 'fewer letters pay' } }];
  call(completions, kwargs) {
    const sign = kwargs.trainer_state.global_step < 5 ? -1 : 1;
    kwargs.log_extra('share', completions.map((text) => sign * letters(text)));
    return completions.map((text) => -sign * letters(text));
  }
}
Object.assign(orms, { against: Against, clipped: Clipped, throws: Throws, slow: Slow, pays: Pays });
`;

async function verdictsOf(
  name: string,
  changes: FlagValues,
): Promise<{ verdicts: Verdict[]; stdout: string; folder: string }> {
  const { folder, stdout } = await tinyRun(project, name, {
    external_plugins: [plugin, project.letters],
    reward_funcs: ['letters'],
    ...changes,
  });
  const verdicts = await diagnoseRun(folder);
  for (const { code } of verdicts) seen.add(code);
  return { verdicts, stdout, folder };
}

const find = (verdicts: readonly Verdict[], code: VerdictCode): Verdict => {
  const found = verdicts.find((verdict) => verdict.code === code);
  if (found === undefined)
    throw new Error(`no ${code} among: ${verdicts.map((verdict) => verdict.code).join(', ') || 'nothing'}`);
  return found;
};

describe('verdicts on runs', () => {
  test.each<[VerdictCode, FlagValues, Verdict['severity'], RegExp]>([
    [
      'NO_ATTENTION',
      { dataset: 'texts', reward_funcs: ['ddapo_attention', 'letters'] },
      'severe',
      /undefined_frac is 1 in all 2 records/,
    ],
    [
      'NO_IMAGE_TOKENS',
      { dataset: 'texts', reward_funcs: ['ddapo_attention', 'letters'] },
      'severe',
      /^16 of 16 completions .*step 1, .*texts\.jsonl:\d/,
    ],
    [
      'ALL_NULL',
      { dataset: 'texts', reward_funcs: ['ddapo_attention', 'letters'] },
      'severe',
      /ddapo_attention is null for all 16/,
    ],
    ['FORMAT_NO_MATCH', { reward_funcs: ['format', 'letters'] }, 'severe', /format is 0 for all 16 .*step 2, /],
    [
      'ANSWER_UNPARSED',
      { reward_funcs: ['external_r1v_acc', 'letters'] },
      'severe',
      /external_r1v_acc is 0 for all 16 .*solution red/,
    ],
    [
      'ALL_TRUNCATED',
      { max_completion_length: '1' },
      'severe',
      /clipped_ratio is 1 in 2 of 2 records \(first: step 1\).* 1 tokens/,
    ],
    ['GROUP_STD_ZERO', { reward_funcs: ['format'] }, 'severe', /frac_reward_zero_std is 1 in 2 of 2 records/],
    ['REWARDS_CANCEL', { reward_funcs: ['letters', 'against'] }, 'severe', /in \d of 4 groups single rewards differ/],
    ['WEIGHT_ZERO', { reward_funcs: ['letters', 'format'], reward_weights: ['1', '0'] }, 'warning', /is 0 for format/],
    [
      'CLAMPED',
      { reward_funcs: ['clipped'], num_generations: '8', per_device_train_batch_size: '16', max_steps: '3' },
      'warning',
      /clipped is exactly 0\.5, its greatest value, for \d\d%/,
    ],
    [
      'PLUGIN_THREW',
      { reward_funcs: ['throws', 'letters'], reward_error: 'skip' },
      'severe',
      /^2 times, first at step 0: .*no such field/,
    ],
    [
      'PLUGIN_TIMEOUT',
      { reward_funcs: ['slow', 'letters'], reward_error: 'skip', reward_timeout: '0.05' },
      'severe',
      /^2 times, first at step 0: .*has not answered/,
    ],
    [
      'GROUP_NORM_MEAN',
      { reward_funcs: ['ddapo_attention', 'letters'], ddapo_group_norm: 'true' },
      'note',
      /mean is 0 in all 2 records, with a deviation/,
    ],
    [
      'HACKED',
      { reward_funcs: ['pays', 'letters'], max_steps: '10' },
      'warning',
      /mine\/corr_share_Letters went from -\d\.\d\d .* to \d\.\d\d/,
    ],
  ])('%s', async (code, changes, severity, expected) => {
    const dataset = changes.dataset === 'texts' ? { dataset: project.texts } : {};
    const { verdicts, stdout } = await verdictsOf(code, { ...changes, ...dataset });
    const verdict = find(verdicts, code);
    expect(verdict.severity).toBe(severity);
    expect(verdict.seen).toMatch(expected);
    expect(stdout).toContain(code); // the run says it at its end
  });

  test('a run that learns has none', async () => {
    const { verdicts } = await verdictsOf('healthy', { reward_funcs: ['letters', 'ddapo_attention'] });
    expect(verdicts).toEqual([]);
  });

  test('NONFINITE: a record with a number that Python writes', async () => {
    const { folder } = await verdictsOf('nonfinite', {});
    const copy = join(root, 'nonfinite copy');
    cpSync(folder, copy, { recursive: true });
    const path = join(copy, 'logging.jsonl');
    const text = readFileSync(path, 'utf8').replace(/"grad_norm":[^,]+/, '"grad_norm":NaN');
    writeFileSync(path, text.replace(/"grad_norm":NaN/, '"grad_norm": NaN'));
    const verdict = find(await diagnoseRun(copy), 'NONFINITE');
    seen.add(verdict.code);
    expect(verdict.seen).toMatch(/step 1: grad_norm is NaN/);
  });

  test('the run of ms-swift in which the attention reward was 0', async () => {
    const verdicts = await diagnoseRun(ZERO_RUN);
    for (const { code } of verdicts) seen.add(code);
    expect(find(verdicts, 'NO_ATTENTION')).toMatchObject({
      severity: 'severe',
      seen: expect.stringMatching(/^rewards\/DDAPOAttentionORM\/mean is exactly 0 in all 4 records/),
      fix: expect.stringContaining('--print-plugin'),
    });
    expect(find(verdicts, 'ATTENTION_IMPL').seen).toBe('attn_impl is sdpa');
  });
});

describe('the command', () => {
  const run = async (words: readonly string[]) => {
    const { io, text } = pretendIo({});
    const error = await doctor(words, io).then(
      () => null,
      (failure: Error & { code?: string; exitCode?: number }) => failure,
    );
    return { ...text, error };
  };

  test('prints verdicts, and ends with 1 if one is severe', async () => {
    const { stdout, error } = await run([ZERO_RUN]);
    expect(stdout).toMatch(/SEVERE {2}NO_ATTENTION\n {2}seen: .*\n {2}why: .*\n {2}fix: /);
    expect(error).toMatchObject({ code: 'E_DOCTOR', exitCode: 1 });
    const { stdout: json } = await run([ZERO_RUN, '--json', 'true']);
    expect(JSON.parse(json)[0]).toMatchObject({ run: ZERO_RUN, code: 'NO_ATTENTION', severity: 'severe' });
  });

  test('before a run: columns, images, tokens, plugins', async () => {
    const rows = join(root, 'mixed.jsonl');
    writeFileSync(
      rows,
      [
        { messages: [{ role: 'user', content: '<image>a?' }], images: ['0.png'] },
        { messages: [{ role: 'user', content: '<image>b?' }], images: ['gone.png'] },
        { messages: [{ role: 'user', content: 'c?' }] },
      ]
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(''),
    );
    const words = [
      '--model',
      project.model,
      '--dataset',
      rows,
      '--reward_funcs',
      'ddapo_attention',
      'external_r1v_acc',
    ];
    const { stdout, error } = await run([...words, '--json', 'true']);
    const verdicts = JSON.parse(stdout) as Verdict[];
    for (const { code } of verdicts) seen.add(code);
    expect(find(verdicts, 'MISSING_COLUMN').seen).toMatch(/external_r1v_acc needs the column "solution"; 2 of 2 rows/);
    expect(find(verdicts, 'IMAGE_MISSING').seen).toMatch(/^1 of 3 rows .*mixed\.jsonl:2.*gone\.png/);
    expect(find(verdicts, 'NO_IMAGE_TOKENS').seen).toMatch(/^1 of the first 2 prompts .*mixed\.jsonl:3/);
    expect(error).toMatchObject({ exitCode: 1 });
    const broken = join(root, 'broken.ts');
    writeFileSync(broken, "import { orms } from 'sightline';\nthrow new Error('half a plugin');\n");
    const { stdout: threw } = await run([...words, '--external_plugins', broken]);
    expect(threw).toMatch(/PLUGIN_THREW\n {2}seen: .*half a plugin/);
  });

  test.each([
    ['no folder', [join(root, 'nowhere')], /E_RUN_FOLDER/],
    ['a folder without a run', [root], /E_RUN_FOLDER/],
    ['nothing', [], /E_ARGUMENTS/],
  ])('%s is refused', async (_, words, code) => {
    const { error } = await run(words);
    expect(error?.code).toMatch(code);
  });
});

test('every verdict has been seen', () => {
  expect(existsSync(join(ZERO_RUN, 'args.json'))).toBe(true);
  expect(VERDICT_CODES.filter((code) => !seen.has(code))).toEqual([]);
});
