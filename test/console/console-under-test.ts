import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { DecisionFixture } from '../decision/fixture.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CHROMIUM = '/usr/bin/chromium';

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

export const POLICY = `
mode: protect
rules:
  - { name: two of us, match: { application: [two] }, action: hold, hold: { approvals: 2 }, reason: Two have to agree. }
  - { name: keep what changes, match: { application: [kept], operation: [update, delete] }, action: snapshot }
  - { name: first a person, match: { operation: [delete, truncate, drop table] }, action: hold, reason: A person looks first. }
  - { name: the rest, action: allow }
`;

/** A browser for the console that lies in src/console, and not for one that was built some time before. */
export async function launchChromium(): Promise<Browser> {
  execFileSync(process.execPath, ['scripts/build-console.mjs', '--required'], { cwd: ROOT });
  if (!existsSync(CHROMIUM)) throw new Error(`${CHROMIUM} is not there: scripts/ci-debian.sh installs it`);
  return await chromium.launch({ executablePath: CHROMIUM, headless: true, args: ARGS });
}

/** The gateway with its console, as somebody has it open in a browser. */
export class ConsoleUnderTest {
  readonly fixture: DecisionFixture;
  readonly browser: Browser;
  /** What no page may do: break its policy, fail, or ask anybody else. Each test looks. */
  readonly faults: string[] = [];
  /** Where a page may go besides: the issuer that somebody signs in with. */
  alsoAsked: string | null = null;
  readonly #contexts: BrowserContext[] = [];

  private constructor(fixture: DecisionFixture, browser: Browser) {
    this.fixture = fixture;
    this.browser = browser;
  }

  static async start(environment: Record<string, string> = {}): Promise<ConsoleUnderTest> {
    const browser = await launchChromium();
    try {
      const fixture = await DecisionFixture.start(POLICY, (postgres) => ({
        HOLDFAST_SNAPSHOTS_TAKEN: 'on',
        HOLDFAST_UNDO_CONNECTION: postgres.url(''),
        ...environment,
      }));
      return new ConsoleUnderTest(fixture, browser);
    } catch (error) {
      await browser.close();
      throw error;
    }
  }

  /** A page of a person of their own, not signed in. */
  async page(options: Parameters<Browser['newContext']>[0] = {}): Promise<Page> {
    const context = await this.browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    this.#contexts.push(context);
    const page = await context.newPage();
    page.setDefaultTimeout(10_000);
    page.on('pageerror', (error) => this.faults.push(`page error: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() !== 'error' && message.type() !== 'warning') return;
      // The browser writes of each answer that is no success, also where the page expects that.
      if (message.text().startsWith('Failed to load resource')) return;
      this.faults.push(`console: ${message.text()}`);
    });
    page.on('request', (request) => {
      const may = [this.url, this.alsoAsked].some((origin) => request.url().startsWith(`${origin}/`));
      if (!may) this.faults.push(`a request to ${request.url()}`);
      if (request.url().includes(this.fixture.gateway.token))
        this.faults.push(`the token is in ${request.url()}`);
    });
    await page.addInitScript(
      `addEventListener('securitypolicyviolation', (event) => console.error('policy: ' + event.violatedDirective))`,
    );
    return page;
  }

  async signedIn(
    at = '',
    options: Parameters<Browser['newContext']>[0] = {},
    token: string = this.fixture.gateway.token,
  ): Promise<Page> {
    const page = await this.page(options);
    await page.goto(`${this.url}/${at}`);
    await page.getByLabel('Token').fill(token);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
    return page;
  }

  get url(): string {
    return this.fixture.gateway.adminUrl;
  }

  async leave(): Promise<void> {
    for (const context of this.#contexts.splice(0)) await context.close();
  }

  async stop(): Promise<void> {
    await this.browser.close();
    await this.fixture.stop();
  }
}
