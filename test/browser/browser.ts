/**
 * A real browser on a server of made runs. Pictures go to SIGHTLINE_SHOTS, or a folder of the system's temporary files.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** The path of a Chromium; null if this machine has none. CHROMIUM=PATH names another one. */
export function chromiumPath(): string | null {
  const given = process.env.CHROMIUM;
  if (given !== undefined) return given;
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.flatMap((folder) => NAMES.map((name) => join(folder, name))).find((path) => existsSync(path)) ?? null;
}

export const shots = process.env.SIGHTLINE_SHOTS ?? join(tmpdir(), 'sightline-shots');

export async function launch(): Promise<Browser> {
  mkdirSync(shots, { recursive: true });
  // A sandbox of its own does not start for root, as in containers. The page is our own.
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  return chromium.launch({ executablePath: chromiumPath()!, args });
}

export interface Tab {
  readonly page: Page;
  /** Errors of the console and of scripts, dialogs, and requests to other hosts. */
  readonly complaints: readonly string[];
}

/** Opens a link in a context, and collects everything that must not happen. */
export async function openTab(context: BrowserContext, link: string): Promise<Tab> {
  const page = await context.newPage();
  const complaints: string[] = [];
  const { host } = new URL(link);
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(`script: ${error.message}`));
  page.on('dialog', (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (!['data:', 'blob:'].includes(url.protocol) && url.host !== host) complaints.push(`request: ${request.url()}`);
  });
  await page.goto(link);
  await page.waitForSelector('.runs');
  return { page, complaints };
}

export const shoot = (page: Page, name: string): Promise<Buffer> =>
  page.screenshot({ path: join(shots, `${name}.png`), animations: 'disabled' });
