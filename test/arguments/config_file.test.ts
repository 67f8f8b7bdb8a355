/**
 * Configuration files: YAML beside JSON, the args.json of ms-swift, and what must not pass.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readRlhfArguments } from '../../src/arguments/arguments.ts';
import { readConfigFile } from '../../src/arguments/config_file.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const root = temporaryFolder();
const data = join(root, 'train.jsonl');
writeFileSync(data, '');
function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(root, name), content);
  return join(root, name);
}
const entriesOf = (path: string): Record<string, unknown> => Object.fromEntries(readConfigFile(path).entries);

describe('YAML', () => {
  const yaml = `# a run
model: ${root}
dataset:
  - ${data}
  - "${data}#5"
reward_funcs: [format, accuracy]
learning_rate: 1e-6
columns: {caption: query}
per_device_train_batch_size: 8
dataset_shuffle: false
_remark: none of the program's business
`;

  test('holds the same as JSON', () => {
    const entries = {
      model: root,
      dataset: [data, `${data}#5`],
      reward_funcs: ['format', 'accuracy'],
      learning_rate: 1e-6,
      columns: { caption: 'query' },
      per_device_train_batch_size: 8,
      dataset_shuffle: false,
    };
    expect(entriesOf(file('run.yaml', yaml))).toEqual(entries);
    expect(entriesOf(file('run.json', JSON.stringify({ ...entries, _remark: 1 })))).toEqual(entries);
  });

  test('a flag beats the file, the file beats the default', () => {
    const { args } = readRlhfArguments(['--config', file('run.yml', yaml), '--learning_rate', '0.5'], {});
    expect(args).toMatchObject({ learningRate: 0.5, datasetShuffle: false, columns: { caption: 'query' }, beta: 0.04 });
  });

  test('anchors and an empty file are fine', () => {
    expect(entriesOf(file('anchor.yaml', `dataset: &data [${data}]\nval_dataset: *data\n`))).toEqual({
      dataset: [data],
      val_dataset: [data],
    });
    expect(entriesOf(file('empty.yaml', '# nothing\n'))).toEqual({});
  });

  const lol = ['a: &a [x, x, x, x, x, x, x, x, x]'];
  for (const [i, name] of [...'bcdefghi'].entries()) {
    lol.push(`${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[i]}`).join(', ')}]`);
  }
  test.each([
    ['a name twice', 'seed: 1\nmodel: x\nseed: 2\n', 'E_YAML_INVALID', ':3', '"seed" is given twice'],
    ['a name twice below', 'columns:\n  "a b": x\n  "a b": y\n', 'E_YAML_INVALID', ':3', '"a b" is given twice'],
    ['a bomb of aliases', lol.join('\n'), 'E_YAML_INVALID', '', 'stand for far more'],
    ['an alias of itself', 'a: &a\n  b: *a\n', 'E_YAML_INVALID', '', 'a part of'],
    ['an alias of nothing', 'a: *b\n', 'E_YAML_INVALID', '', 'b'],
    ['brackets without end', '['.repeat(100_000), 'E_YAML_INVALID', ':1', 'nested too deeply'],
    ['a tag of Python', 'seed: !!python/object:os.system x\n', 'E_YAML_INVALID', ':1', 'Unresolved tag'],
    ['a tab', 'dataset:\n\t- x\n', 'E_YAML_INVALID', ':2', 'Tabs'],
    ['two documents', 'seed: 1\n---\nseed: 2\n', 'E_YAML_INVALID', ':2', 'multiple documents'],
    ['a list', '- seed\n', 'E_YAML_INVALID', '', 'a list'],
    ['a name that is no text', '1: 2\n', 'E_YAML_INVALID', ':1', 'no text'],
    ['a file cut off', 'dataset: [a,\n', 'E_YAML_INVALID', ':2', 'Flow sequence'],
    ['other bytes', Buffer.from([0xff, 0xfe, 0x00]), 'E_CONFIG_FORMAT', '', 'UTF-8'],
    ['a large file', `# ${'x'.repeat(300_000)}`, 'E_CONFIG_FORMAT', '', 'at most'],
  ])('%s', (_name, content, code, line, message) => {
    const path = file('bad.yaml', content);
    const start = performance.now();
    expect(() => readConfigFile(path)).toThrow(
      expect.objectContaining({
        code,
        where: `${path}${line}`,
        message: expect.stringContaining(message),
        hint: expect.stringMatching(/./),
        exitCode: 2,
      }),
    );
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});

test('a name twice in JSON is refused, of which JSON itself keeps the last', () => {
  const path = file('twice.json', '{\n\t"seed": 1,\n\t"columns": {"a": "b"},\n\t"seed": 2\n}');
  expect(() => readConfigFile(path)).toThrow(
    expect.objectContaining({ code: 'E_CONFIG_FORMAT', where: `${path}:4`, message: '"seed" is given twice' }),
  );
});

describe('the args.json of ms-swift', () => {
  const text = readFileSync(new URL('ms_swift/args.json', import.meta.url), 'utf8')
    .replaceAll('CHECKPOINT', root)
    .replaceAll('DATA', data)
    .replaceAll('SCRATCH', root);
  const original = JSON.parse(text) as Record<string, unknown>;
  const config = (changes: object): string => file('args.json', JSON.stringify({ ...original, ...changes }));
  const complaint = (changes: object, ...words: string[]): string => {
    try {
      readRlhfArguments(['--config', config(changes), ...words], {});
      return 'no error';
    } catch (error) {
      return `${(error as { where?: string }).where}: ${(error as Error).message}`;
    }
  };

  test('is read as a configuration, and what means nothing here is told once', () => {
    const { args, notices } = readRlhfArguments(['--config', config({})], {});
    expect(args).toMatchObject({
      dataset: [`${data}#100`],
      columns: { caption: 'query' },
      numGenerations: 4,
      gradientAccumulationSteps: 2,
      maxCompletionLength: 64,
      learningRate: 1e-6,
      beta: 0,
      strict: false,
      truncationStrategy: 'raise',
      freezeParameters: [],
    });
    // What the user added to the prefixes that ms-swift computes from its flags is kept.
    const prefixes = { freeze_parameters: ['model.visual', 'model.visual.merger', 'model.language_model.layers.0'] };
    const more = readRlhfArguments(['--config', config(prefixes)], {});
    expect(more.args.freezeParameters).toEqual(['model.language_model.layers.0']);
    expect(notices.filter((notice) => notice.includes('ms-swift 4.6.0'))).toHaveLength(1);
    expect(notices.filter((notice) => notice.includes('truncation_strategy left'))).toHaveLength(1);
    expect(notices.filter((notice) => notice.includes('have no effect here'))).toHaveLength(1);
    expect(notices).toHaveLength(3);
  });

  test('what contradicts is an error by name, unless a flag replaces it', () => {
    expect(complaint({ use_vllm: true })).toContain('--use_vllm');
    expect(complaint({ use_vllm: true }, '--use_vllm', 'false')).toBe('no error');
    expect(complaint({ rlhf_type: 'dpo' })).toContain('--rlhf_type');
    expect(complaint({ rlhf_type: 'dpo' }, '--rlhf_type', 'grpo')).toBe('no error');
    expect(complaint({ disable_auto_column_mapping: true })).toContain('--disable_auto_column_mapping');
  });
});

describe('--columns', () => {
  const complaint = (columns: string): string => {
    try {
      const words = ['--model', root, '--dataset', data, '--reward_funcs', 'format', '--columns', columns];
      readRlhfArguments([...words, '--per_device_train_batch_size', '8'], {});
      return 'no error';
    } catch (error) {
      return `${(error as { where?: string }).where}: ${(error as Error).message}`;
    }
  };

  test.each([
    ['{"caption": "query"}', 'no error'],
    ['{"a": "query", "b": "query"}', '--columns: "a" and "b" both become "query"'],
    ['{"a": 7}', '--columns: the new name of "a" is 7, expected a text'],
    ['a=b', '--columns: expected a JSON object, got "a=b"'],
  ])('%s', (columns, expected) => {
    expect(complaint(columns)).toBe(expected);
  });
});
