import type { Fault } from '../audit/faults.ts';
import { readPublicKey } from '../audit/key-file.ts';
import type { Verdict } from '../audit/verify.ts';
import { HoldfastError } from '../base/errors.ts';
import type { BlobTarget } from '../blobs/blob-target.ts';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { parseStore } from '../config/storage.ts';
import { configFile } from './command.ts';
import { EXIT } from './exit-code.ts';
import type { Io } from './io.ts';
import { printable } from './printable.ts';
import { alignRows, toJson } from './table.ts';

export interface VerifyOptions {
  readonly config?: string;
  readonly store?: string;
  /** False for --no-anchors. */
  readonly anchors?: string | boolean;
  readonly publicKey?: readonly string[];
  readonly json?: boolean;
}

/** Verifies a stored audit without a gateway, and says exactly what is wrong with it. */
export async function verifyCommand(options: VerifyOptions, io: Io): Promise<0 | 1> {
  // Loaded only here, so that the other commands start at once.
  const { verifyAudit } = await import('../audit/verify.ts');
  const { openSqliteAuditSource } = await import('../store/sqlite-audit-source.ts');
  const { openBlobStore } = await import('../blobs/open.ts');
  const path = storePath(options, io);
  const place = anchorPlace(options, io);
  const keys = options.publicKey?.map(readPublicKey) ?? null;
  const source = openSqliteAuditSource(path);
  const blobs = place === null ? null : openBlobStore(place);
  try {
    const trusted = keys === null ? null : new Map(keys.map(({ id, publicKey }) => [id, publicKey]));
    const verdict = await verifyAudit(source, blobs, trusted);
    if (options.json === true) io.out(toJson({ store: path, ...asJson(verdict) }));
    else io.out(asText(path, verdict, trusted !== null));
    return verdict.faultCount === 0 ? EXIT.ok : EXIT.failed;
  } finally {
    source.close();
    await blobs?.close();
  }
}

/** What the command line leaves out, the configuration says. */
function configOf(options: VerifyOptions, io: Io): Config {
  return loadConfig({ ...configFile(options.config, io), env: io.env });
}

function storePath(options: VerifyOptions, io: Io): string {
  if (options.store === undefined) return configOf(options, io).store.path;
  const parsed = parseStore(options.store);
  if (parsed.ok) return parsed.value.path;
  if (/^postgres/.test(options.store))
    throw new HoldfastError('CONFIG_INVALID', `--store: ${parsed.problem}`);
  return options.store;
}

function anchorPlace(options: VerifyOptions, io: Io): string | BlobTarget | null {
  const { anchors } = options;
  if (anchors === false) return null;
  if (typeof anchors !== 'string') return configOf(options, io).snapshots;
  return /^(?:file|s3):/.test(anchors) ? anchors : `file:${anchors}`;
}

function asJson(verdict: Verdict) {
  return {
    ok: verdict.faultCount === 0,
    dropped_to: verdict.cut?.sequence ?? null,
    records: verdict.records,
    last: verdict.lastSeq,
    last_hash: verdict.lastHash === null ? null : Buffer.from(verdict.lastHash).toString('hex'),
    chained_from: verdict.chainedFrom,
    heads: verdict.heads,
    signed_to: verdict.signedTo,
    anchors: verdict.anchors,
    anchored_to: verdict.anchoredTo,
    anchors_of_others: verdict.anchorsOfOthers,
    keys: verdict.keyIds,
    fault_count: verdict.faultCount,
    faults: verdict.faults,
  };
}

function asText(path: string, verdict: Verdict, named: boolean): string {
  const { faults, faultCount } = verdict;
  const rows = [
    ['store', path],
    ['records', recordsText(verdict)],
    ['heads', `${verdict.heads}, signed up to record ${verdict.signedTo ?? 0}`],
    ['anchors', anchorsText(verdict)],
    [
      'key',
      `${verdict.keyIds.join(', ') || 'none'}${named ? '' : ' (as the store says; --public-key proves it)'}`,
    ],
    ['verdict', faultCount === 0 ? 'intact' : `${faultCount} ${faultCount === 1 ? 'fault' : 'faults'}`],
  ];
  const lines = faults.map((fault) => `${printable(faultText(fault))}\n`);
  if (faultCount > faults.length) lines.push(`and ${faultCount - faults.length} more\n`);
  return alignRows(rows) + lines.join('');
}

function recordsText({ records, lastSeq, chainedFrom, cut }: Verdict): string {
  const all = `${records}, the last is ${lastSeq}`;
  if (cut !== null) return `${all}; those up to ${cut.sequence} were dropped by ${cut.time}`;
  if (chainedFrom === null)
    return records === 0 ? all : `${all}; none is chained: all are from before the chain`;
  return chainedFrom === 1 ? all : `${all}; those before ${chainedFrom} are not chained, nor verified`;
}

function anchorsText({ anchors, anchoredTo, anchorsOfOthers }: Verdict): string {
  if (anchors === null) return 'not compared: what is missing at the end is not found without them';
  const others = anchorsOfOthers === 0 ? '' : `; ${anchorsOfOthers} of other keys`;
  return `${anchors}, up to record ${anchoredTo ?? 0}${others}`;
}

function faultText({ kind, first, last, time, what }: Fault): string {
  const records = first === last ? `record ${first}` : `records ${first} to ${last}`;
  return `${kind}: ${records}${time === null ? '' : ` (${time})`}: ${what}`;
}
