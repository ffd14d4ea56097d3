import { join } from 'node:path';
import { verifyAudit } from '../../src/audit/verify.ts';
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { openSqliteAuditSource } from '../../src/store/sqlite-audit-source.ts';
import type { TestGateway } from '../support/gateway.ts';

/** What `holdfast audit verify` finds wrong, in words, of a store of which no gateway runs, and of the anchors of it. */
export async function auditFaults(path: string, anchors: BlobStore): Promise<string[]> {
  const source = openSqliteAuditSource(path);
  try {
    const { faults, faultCount, heads, records, lastSeq, chainedFrom } = await verifyAudit(
      source,
      anchors,
      null,
    );
    const wrong = faults.map((fault) => `the audit: ${JSON.stringify(fault)}`);
    if (faultCount > faults.length) wrong.push(`the audit: ${faultCount} faults in all`);
    if (heads === 0) wrong.push('the audit has no signed head');
    if (records !== lastSeq) wrong.push(`the audit has ${records} records up to ${lastSeq}`);
    if (records > 0 && chainedFrom !== 1) wrong.push(`the audit is chained from ${chainedFrom}`);
    return wrong;
  } finally {
    source.close();
  }
}

/** Of a gateway that has its store in its own folder, which is killed for it in the midst of whatever it does. */
export async function auditFaultsOfKilled(gateway: TestGateway, anchors: BlobStore): Promise<string[]> {
  await gateway.killHard();
  return await auditFaults(join(gateway.directory, 'h.db'), anchors);
}
