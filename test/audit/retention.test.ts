import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openKeyFile, readKeyFile } from '../../src/audit/key-file.ts';
import { AuditRetention } from '../../src/audit/retention.ts';
import { signCut, signHead } from '../../src/audit/signed-head.ts';
import type { Verdict } from '../../src/audit/verify.ts';
import { createLogger } from '../../src/base/log.ts';
import { ChainedStore } from './chained-store.ts';
import { entry } from './statements.ts';

const DAY_MS = 24 * 60 * 60_000;
let audit: ChainedStore;

beforeEach(async () => {
  audit = await ChainedStore.create();
});
afterEach(async () => {
  await audit.stop();
  await audit.remove();
});

/** Rows of ten events each, the first of them so many days old and each a day younger; a head behind every row. */
async function writeDays(days: number): Promise<void> {
  await audit.start();
  for (let ago = days - 1; ago >= 0; ago--) {
    for (let i = 0; i < 10; i++) {
      audit.log.finish(entry({ text: `select ${ago}`, startedAtMs: Date.now() - ago * DAY_MS }));
    }
    await audit.log.flush();
    await audit.notary.attest();
  }
}

async function keepDays(days: number): Promise<void> {
  const key = readKeyFile(audit.keyPath);
  const log = createLogger('silent');
  const retention = new AuditRetention({ store: audit.store, key, ageMs: days * DAY_MS, log });
  await retention.sweep();
  await retention.close();
}

function told({ faults }: Verdict): string[] {
  return faults.map(({ kind, first, last, what }) => `${kind} ${first}-${last}: ${what}`);
}

describe('records that are older than they are kept', () => {
  it('are dropped, and the rest is verified from where it begins', async () => {
    await writeDays(6);
    await keepDays(3.5);
    audit.log.finish(entry({ text: 'later' }));
    await audit.stop();
    const verdict = await audit.verify();
    expect(told(verdict)).toEqual([]);
    expect(verdict).toMatchObject({
      cut: { sequence: 20 },
      records: 41,
      lastSeq: 61,
      chainedFrom: 21,
      signedTo: 61,
    });
    expect((await audit.verify({ anchors: false })).faultCount).toBe(0);
  });

  it('go again and again, and never the newest row, so that numbers go on', async () => {
    await writeDays(4);
    await keepDays(2.5);
    await keepDays(1.5);
    expect(await audit.verify()).toMatchObject({ cut: { sequence: 20 }, records: 20, faultCount: 0 });
    await keepDays(-1);
    expect(await audit.verify()).toMatchObject({ cut: { sequence: 30 }, records: 10, faultCount: 0 });
    await audit.stop();
    await audit.start();
    audit.log.finish(entry());
    await audit.stop();
    expect(await audit.verify()).toMatchObject({ lastSeq: 41, faultCount: 0 });
  });

  it('stay where the clock of the machine is a year ahead for a moment', async () => {
    await writeDays(2);
    const wall = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 365 * DAY_MS);
    await keepDays(5).finally(() => wall.mockRestore());
    await audit.stop();
    expect(await audit.verify()).toMatchObject({ cut: null, records: 20, faultCount: 0 });
  });

  it('stay where nothing is old', async () => {
    await writeDays(2);
    await keepDays(5);
    await audit.stop();
    expect(await audit.verify()).toMatchObject({ cut: null, records: 20, faultCount: 0 });
  });
});

describe('what was taken away otherwise', () => {
  const removeTo = (seq: number) =>
    audit.tamper((database) => database.prepare('delete from audit_blocks where last_seq <= ?').run(seq));

  it('is missing, with a cut or without', async () => {
    await writeDays(6);
    await keepDays(3.5);
    await audit.stop();
    removeTo(40);
    expect(told(await audit.verify())).toEqual(['missing 21-40: not there']);
  });

  it('is missing where nothing was cut', async () => {
    await writeDays(3);
    await audit.stop();
    removeTo(10);
    expect(told(await audit.verify())).toContain('missing 1-10: not there');
  });

  it('is not excused by a cut of another key', async () => {
    await writeDays(3);
    const { key } = openKeyFile(`${audit.keyPath}.other`);
    const end = (await audit.store.auditEndBefore(Date.now() - 1.5 * DAY_MS, 10))!;
    await audit.store.cutAudit(signCut({ ...end, time: new Date().toISOString() }, key));
    await audit.stop();
    const [first, second] = told(await audit.verify());
    expect(first).toMatch(/^head 10-10: said to be dropped, .* another key/);
    expect(second).toBe('missing 1-10: not there');
  });

  it('is not excused by a head in the place of a cut, nor by a cut that was moved', async () => {
    await writeDays(3);
    const key = readKeyFile(audit.keyPath);
    const end = (await audit.store.auditEndBefore(Date.now() - 1.5 * DAY_MS, 10))!;
    const time = new Date().toISOString();
    await audit.store.cutAudit(signHead({ ...end, time }, key));
    await audit.stop();
    expect(told(await audit.verify())[0]).toMatch(/by a cut that its key has not signed/);
    const cut = signCut({ ...end, time }, key);
    audit.tamper((database) => database.prepare('update audit_cut set signature = ?').run(cut.signature));
    expect(told(await audit.verify())).toEqual([]);
    removeTo(20);
    audit.tamper((database) => database.prepare('update audit_cut set sequence = 20').run());
    expect(told(await audit.verify())[0]).toMatch(/by a cut that its key has not signed/);
  });
});
