/**
 * Imports point one way: a file may import from its own folder and from folders of lower layers, never sideways or up,
 * so that no two folders can depend on each other. Within a folder, no two files depend on each other either. Types count
 * like values. And each library has its gateway.
 */
import { builtinModules } from 'node:module';
import { posix } from 'node:path';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';
import { layers } from './helpers/layers.ts';
import { readRepositoryFile, repositoryFiles } from './helpers/repository.ts';

/** Imports that break the rule, each with its reason. One that is gone must leave this list. */
const exceptions: Readonly<Record<string, string>> = {
  'rewards/plugin.ts > index.ts':
    'a plugin imports `sightline`, which must be the running package; loaded when asked for',
};

/** Folders in which a library may be imported. */
const gateways: Readonly<Record<string, readonly string[]>> = {
  'onnxruntime-node': ['runtime'],
  protobufjs: ['onnx', 'report'],
  sharp: ['data', 'demo'],
  '@cwasm/nsbmp': ['data'],
  '@uwdata/flechette': ['data'],
  'csv-parse': ['data'],
  hyparquet: ['data'],
  'hyparquet-compressors': ['data'],
  yaml: ['arguments'],
  '@huggingface/tokenizers': ['template'],
  '@huggingface/jinja': ['template'],
  'decimal.js': ['rewards'],
  'fraction.js': ['rewards'],
  commander: ['cli'],
  jiti: ['rewards', 'util'],
  zod: ['arguments', 'reward_server', 'ui'],
  hono: ['ui'],
  '@hono/node-server': ['ui'],
};

interface Import {
  /** Below src. */
  readonly from: string;
  /** A path below src, or a package. */
  readonly to: string;
}

const imports: readonly Import[] = repositoryFiles('src')
  .filter((path) => path.endsWith('.ts'))
  .flatMap((path) => {
    const from = path.slice('src/'.length);
    const text = readRepositoryFile(path).toString('utf8');
    // A worker is given the place of its library, which no import statement names.
    const resolved = [...text.matchAll(/\.resolve\('([^']+)'\)/g)].map(([, name]) => name!);
    const named = [...ts.preProcessFile(text).importedFiles.map(({ fileName }) => fileName), ...resolved];
    return named.map((name) => ({ from, to: name.startsWith('.') ? posix.join(posix.dirname(from), name) : name }));
  });

const isOwn = ({ to }: Import): boolean => to.endsWith('.ts');
const topOf = (path: string): string => path.split('/')[0]!;
const layerOf = (path: string): number => layers.findIndex((names) => names.includes(topOf(path)));
const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
const isPackage = (edge: Import): boolean =>
  !isOwn(edge) && !edge.to.startsWith('node:') && !builtinModules.includes(edge.to);

/** Own imports that go sideways or up, as `from > to`. */
function wrongWay(edges: readonly Import[]): string[] {
  return edges
    .filter((edge) => isOwn(edge) && topOf(edge.from) !== topOf(edge.to) && layerOf(edge.to) >= layerOf(edge.from))
    .map(({ from, to }) => `${from} > ${to}`);
}

/** Files that import each other, over whatever way round: one list for each such knot, in order. */
function circles(edges: readonly Import[]): string[][] {
  const targets = new Map<string, string[]>();
  for (const edge of edges.filter(isOwn)) targets.set(edge.from, [...(targets.get(edge.from) ?? []), edge.to]);
  const reachedFrom = (start: string): Set<string> => {
    const reached = new Set<string>();
    const open = [...(targets.get(start) ?? [])];
    for (let file = open.pop(); file !== undefined; file = open.pop()) {
      if (reached.has(file)) continue;
      reached.add(file);
      open.push(...(targets.get(file) ?? []));
    }
    return reached;
  };
  const reached = new Map([...targets.keys()].map((file) => [file, reachedFrom(file)]));
  const knots = [...reached]
    .filter(([file, files]) => files.has(file))
    .map(([file, files]) => [...files].filter((other) => reached.get(other)?.has(file)).sort());
  return [...new Map(knots.map((files) => [files.join(' '), files])).values()];
}

describe('imports', () => {
  test('are found, those of types and those at run time included', () => {
    expect(imports).toContainEqual({ from: 'models/types.ts', to: 'attention/tdr.ts' });
    expect(imports).toContainEqual({ from: 'rewards/plugin.ts', to: 'index.ts' });
    expect(imports).toContainEqual({ from: 'runtime/session.ts', to: 'onnxruntime-node' });
  });

  test('every folder of src has a layer', () => {
    const tops = new Set(repositoryFiles('src').map((path) => topOf(path.slice('src/'.length))));
    expect([...tops].filter((top) => layerOf(top) < 0)).toEqual([]);
    expect(layers.flat().filter((name) => !tops.has(name))).toEqual([]);
  });

  test('point down, but for the exceptions that are listed', () => {
    expect([...new Set(wrongWay(imports))].sort()).toEqual(Object.keys(exceptions).sort());
  });

  test('the check notices one that points up and one that points sideways', () => {
    expect(
      wrongWay([
        { from: 'nn/linear.ts', to: 'models/types.ts' },
        { from: 'nn/linear.ts', to: 'optim/adamw.ts' },
        { from: 'nn/linear.ts', to: 'graph/graph.ts' },
        { from: 'nn/linear.ts', to: 'nn/rope.ts' },
      ]),
    ).toEqual(['nn/linear.ts > models/types.ts', 'nn/linear.ts > optim/adamw.ts']);
  });
});

describe('circles of imports', () => {
  test('there are none, but for what is loaded when asked for', () => {
    const isException = ({ from, to }: Import): boolean => Object.hasOwn(exceptions, `${from} > ${to}`);
    expect(circles(imports.filter((edge) => !isException(edge)))).toEqual([]);
  });

  test('the check finds one of two files and one of three, apart from each other', () => {
    const edge = (from: string, to: string): Import => ({ from: `nn/${from}.ts`, to: `nn/${to}.ts` });
    const edges = [edge('a', 'b'), edge('b', 'a'), edge('b', 'c'), edge('c', 'd'), edge('d', 'e'), edge('e', 'c')];
    expect(circles(edges)).toEqual([
      ['nn/a.ts', 'nn/b.ts'],
      ['nn/c.ts', 'nn/d.ts', 'nn/e.ts'],
    ]);
    expect(circles([edge('a', 'b'), edge('b', 'c'), edge('a', 'c')])).toEqual([]);
  });
});

describe('devices', () => {
  /** What only a device needs to know: the library that computes, its providers, its kinds of buffers. */
  const OF_DEVICES = /onnxruntime|InferenceSession|execution_?providers?|gpu-?buffer|^webgpu$/i;

  /** Identifiers and text of one word; comments and messages may say what they like. */
  function wordsOf(text: string): string[] {
    const scanner = ts.createScanner(ts.ScriptTarget.Latest, true, ts.LanguageVariant.Standard, text);
    const words: string[] = [];
    for (let kind = scanner.scan(); kind !== ts.SyntaxKind.EndOfFileToken; kind = scanner.scan())
      if (kind === ts.SyntaxKind.Identifier || kind === ts.SyntaxKind.StringLiteral)
        words.push(scanner.getTokenValue());
    return words.filter((word) => !/\s/.test(word));
  }

  test('the check reads words, but not comments', () => {
    const text = "// onnxruntime\nconst provider = 'webgpu', InferenceSession = 'on webgpu';";
    expect(wordsOf(text).filter((word) => OF_DEVICES.test(word))).toEqual(['webgpu', 'InferenceSession']);
  });

  test('nothing above src/runtime names what they are made of', () => {
    const strays = repositoryFiles('src')
      .filter((path) => path.endsWith('.ts') && !path.startsWith('src/runtime/'))
      .flatMap((path) => {
        const named = wordsOf(readRepositoryFile(path).toString('utf8')).filter((word) => OF_DEVICES.test(word));
        return named.map((word) => `${path}: ${word}`);
      });
    expect(strays).toEqual([]);
  });
});

describe('libraries', () => {
  test('each is imported in its gateways only', () => {
    const strays = imports
      .filter((edge) => isPackage(edge) && !gateways[packageOf(edge.to)]?.includes(topOf(edge.from)))
      .map(({ from, to }) => `${from} > ${to}`);
    expect(strays).toEqual([]);
  });

  test('each dependency is used, and each used one is a dependency', () => {
    const { dependencies } = JSON.parse(readRepositoryFile('package.json').toString('utf8'));
    const used = new Set(imports.filter(isPackage).map(({ to }) => packageOf(to)));
    expect([...used].sort()).toEqual(Object.keys(dependencies).sort());
    expect(Object.keys(gateways).sort()).toEqual(Object.keys(dependencies).sort());
  });
});
