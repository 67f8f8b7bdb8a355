/**
 * Nothing in the repository is tied to the machine it was written on: no absolute path of one, no address of a package
 * registry (the lock file has none either: `omit-lockfile-registry-resolved` in .npmrc).
 */
import { expect, test } from 'vitest';
import { readRepositoryFile, repositoryFiles } from './helpers/repository.ts';

// In pieces, so that this file does not name them.
const folders = ['work', 'root', 'home', 'Users', 'tmp', 'private', 'mnt'].join('|');
const hosts = [
  ['registry', 'npmjs', 'org'],
  ['registry', 'yarnpkg', 'com'],
  ['registry', 'npmmirror', 'com'],
  ['pypi', 'org'],
  ['files', 'pythonhosted', 'org'],
].map((parts) => parts.join('\\.'));
const faults: readonly (readonly [string, RegExp])[] = [
  // A slash that starts a path: not one inside a relative path, an address or a closing tag.
  ['an absolute path', new RegExp(`(?<![\\w.~$})\\]*<-])/(?:${folders})/[\\w.-]`)],
  ['a path of a user', /\b[A-Z]:\\{1,2}Users\\/],
  ['a registry', new RegExp(hosts.join('|'))],
];

/** What a text names that it should not, one line a fault. */
function named(text: string): string[] {
  return text
    .split('\n')
    .flatMap((line, i) =>
      faults.filter(([, pattern]) => pattern.test(line)).map(([what]) => `${i + 1}: ${what}: ${line}`),
    );
}

test('no text file names a path of a machine or a registry', () => {
  const texts = repositoryFiles()
    .map((path) => [path, readRepositoryFile(path)] as const)
    .filter(([, bytes]) => !bytes.subarray(0, 8192).includes(0));
  expect(texts.map(([path]) => path)).toContain('src/errors.ts');
  expect(texts.flatMap(([path, bytes]) => named(bytes.toString('utf8')).map((fault) => `${path}:${fault}`))).toEqual(
    [],
  );
});

test('the check notices them, and only them', () => {
  const slash = '/';
  expect(named(`see ${slash}home/someone/x`)).toHaveLength(1);
  expect(named(`open("${slash}tmp/x")`)).toHaveLength(1);
  expect(named(`"resolved": "https://${['registry', 'npmjs', 'org'].join('.')}/zod"`)).toHaveLength(1);
  expect(named('src/work/a.ts ../home/b ./tmp/c </root/>')).toEqual([]);
});
