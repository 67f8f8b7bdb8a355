/**
 * Every command of README.md and docs/ runs as it is written, page by page, with the built program. Commands that cannot run
 * here say why, are listed at the end, and have their flags checked.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readRepositoryFile, repositoryFiles } from '../../helpers/repository.ts';
import { checkFlags, programsOf } from './flags_only.ts';
import { Folder } from './folder.ts';
import { type Block, blocksOf } from './page.ts';

const pages = ['README.md', ...repositoryFiles('docs')]
  .filter((path) => path.endsWith('.md'))
  .map((path) => ({ path, blocks: blocksOf(readRepositoryFile(path).toString('utf8')) }));

const titleOf = (path: string, block: Block): string =>
  `${path}:${block.line} ${block.kind === 'file' ? block.name : block.text.split('\n')[0]}`;
const ran: string[] = [];
const notRun: string[] = [];

for (const { path, blocks } of pages.filter((page) => page.blocks.some(({ kind }) => kind === 'commands'))) {
  describe(path, () => {
    let folder: Folder;
    beforeAll(() => {
      folder = new Folder();
    });
    afterAll(() => folder.remove());

    for (const block of blocks) {
      if (block.kind === 'shown') continue;
      test(titleOf(path, block), async () => {
        if (block.kind === 'file') return folder.write(block.name, block.text);
        const { run } = block;
        if (run.kind === 'not run') {
          const programs = programsOf(block.text);
          expect(programs).not.toEqual([]);
          for (const words of programs) checkFlags(words);
          notRun.push(`${titleOf(path, block)}\n  ${run.reason}`);
        } else {
          await folder.run(block.text, run);
          ran.push(titleOf(path, block));
        }
      });
    }
  });
}

afterAll(() => {
  console.log(`${ran.length} blocks of commands were run, ${notRun.length} were not:\n${notRun.join('\n')}`);
});
