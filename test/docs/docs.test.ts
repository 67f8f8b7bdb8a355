/**
 * What the documents say is so: paths exist, flags and scripts are there, examples run, tables agree with the code.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { groups } from '../../site/sidebar.ts';
import { peerFlag } from '../../src/arguments/peers/index.ts';
import { documentedCommands, flagsDocument } from '../helpers/flags_document.ts';
import { layers } from '../helpers/layers.ts';
import { withParityTables } from '../helpers/parity_tables.ts';
import { readRepositoryFile, repositoryFiles, repositoryRoot } from '../helpers/repository.ts';
import { checkFlags, programsOf } from './commands/flags_only.ts';
import { blocksOf } from './commands/page.ts';

const documents = ['README.md', ...repositoryFiles('docs')].filter((path) => path.endsWith('.md'));
const textOf = (path: string): string => readRepositoryFile(path).toString('utf8');
/** The files that a page shows, by name. */
const files = (path: string): Map<string, string> =>
  new Map(blocksOf(textOf(path)).flatMap((block) => (block.kind === 'file' ? [[block.name, block.text]] : [])));

const roots = ['src', 'test', 'docs', 'examples', 'scripts', 'bench', 'assets', 'site', '.ci'];
const pathForm = new RegExp(
  `(?<![\\w./-])(?:${roots.map((root) => root.replace('.', '\\.')).join('|')})/[\\w./-]*\\w`,
  'g',
);
/** Lines and spans of code that begin with another program. */
const foreign = /(?<=^ *|`)(?:npm|npx (?!sightline)|node|tensorboard|python3?|pip|git)\b(?:[^`\n\\]|\\\n)*/gm;

describe.each(documents)('%s', (document) => {
  const text = textOf(document);

  test('names paths that exist', () => {
    // What a build leaves is not there in a fresh clone.
    const paths = [...new Set(text.match(pathForm) ?? [])].filter((path) => !path.split('/').includes('dist'));
    expect(paths.filter((path) => !existsSync(join(repositoryRoot, path)))).toEqual([]);
  });

  test('links to files and headings that exist', () => {
    const headings = (path: string): string[] =>
      [...textOf(path).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
        heading!
          .toLowerCase()
          .replace(/[^\w\s-]/g, '')
          .replaceAll(' ', '-'),
      );
    const broken = [...text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].filter(([, path, anchor]) => {
      const target = path === '' ? document : join(dirname(document), path!);
      if (!existsSync(join(repositoryRoot, target))) return true;
      return anchor !== undefined && !headings(target).includes(anchor);
    });
    expect(broken.map(([link]) => link)).toEqual([]);
  });

  test('names flags that are known', () => {
    const known = new Set([
      ...documentedCommands.flatMap(({ flags }) =>
        Object.entries(flags).flatMap(([name, { aliases = [] }]) => [name, ...aliases]),
      ),
      'help',
      'version',
      'print-plugin',
    ]);
    // Flags of other programs, and of benchmarks, are not ours to check; those of ms-swift are known as such.
    const own = text.replace(foreign, '');
    const demo = textOf('src/cli/demo.ts');
    const names = [...own.matchAll(/(?<![\w-])--([a-z][\w-]*)/g)].map(([, name]) => name!);
    const isKnown = (name: string): boolean =>
      known.has(name) || peerFlag(name) !== null || demo.includes(`'--${name} `);
    expect([...new Set(names)].filter((name) => !isKnown(name))).toEqual([]);
  });

  test('says how its commands are run, and gives those that are not run the flags that they have', () => {
    for (const block of blocksOf(text)) {
      if (block.kind !== 'commands' || block.run.kind !== 'not run') continue;
      for (const words of programsOf(block.text)) checkFlags(words);
    }
  });

  test('names scripts that package.json has', () => {
    const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
    const names = [...text.matchAll(/npm run (?:--silent )?([\w:]+)/g)].map(([, name]) => name!);
    expect([...new Set(names)].filter((name) => !(name in scripts))).toEqual([]);
  });
});

test('docs/rewards.md shows the small reward as it is', () => {
  expect(files('docs/rewards.md').get('place.ts')).toBe(textOf('examples/train/grpo/plugin/place.ts'));
});

test('docs/quick_start.md names metrics that are logged', () => {
  const page = textOf('docs/quick_start.md');
  const table = page.slice(page.indexOf('| metric |'), page.indexOf('## Other settings'));
  const cells = [...table.matchAll(/^\| (`.*?) \|/gm)].map(([, cell]) => cell!);
  const names = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
  const source = [...repositoryFiles('src'), 'examples/train/grpo/plugin/plugin.ts'].map(textOf).join('\n');
  expect(names.length).toBeGreaterThan(15);
  expect(names.filter((name) => !name.split('NAME').every((part) => source.includes(part)))).toEqual([]);
});

test('README.md links to the first page of each group of site/sidebar.ts, in their order', () => {
  const readme = textOf('README.md');
  const table = readme.slice(readme.indexOf('## Read on'), readme.indexOf('## Commands'));
  const links = [...table.matchAll(/^\| .*?\]\(docs\/(\w+)\.md\)/gm)].map(([, file]) => file);
  expect(links).toEqual(groups.map(({ pages }) => pages[0]!.file));
});

test('site/sidebar.ts has a place for every page of docs, once', () => {
  const pages = groups.flatMap((group) => group.pages.map(({ file }) => `docs/${file}.md`));
  expect(['docs/index.md', ...pages].sort()).toEqual(documents.filter((path) => path !== 'README.md').sort());
});

test('docs/map.md has the layers of the import rule', () => {
  const rows = [...textOf('docs/map.md').matchAll(/^\| (\d+) \| ([^|]+) \|/gm)];
  const shown = layers.map((_, i) =>
    rows
      .filter(([, layer]) => Number(layer) === i)
      .flatMap(([, , cell]) => [...cell!.matchAll(/`src\/([^`]+)`/g)].map(([, name]) => name!)),
  );
  expect(shown.map((names) => [...names].sort())).toEqual(layers.map((names) => [...names].sort()));
});

test('docs/flags.md is what the schema says', async () => {
  await expect(flagsDocument()).toMatchFileSnapshot('../../docs/flags.md');
});

test('docs/parity.md has the tables that the schema and the list of ms-swift give', async () => {
  await expect(withParityTables(textOf('docs/parity.md'))).toMatchFileSnapshot('../../docs/parity.md');
});
