import { z } from 'zod';
import { LIMITS } from '../base/limits.ts';
import { LOG_LEVELS } from '../base/log.ts';
import { parseBlobTarget } from '../blobs/blob-target.ts';
import { DURATION_HINT, formatDuration, parseDurationMs } from '../policy/duration.ts';
import { judged, parsedBy, wrong } from '../policy/judged.ts';
import { parseEndpoint } from './endpoint.ts';
import { parseSizeBytes, SIZE_HINT } from './size.ts';
import { parseConnection, parsePaths, parsePublicUrl, parseRoles, parseStore } from './storage.ts';
import { parseUpstream } from './upstream.ts';

const endpoint = parsedBy(parseEndpoint);
const path = judged((text) => (text.includes('\0') || text.trim() === '' ? 'expected a path' : null));

function durationBetween(minMs: number, maxMs: number): z.ZodType<number, string> {
  return parsedBy((text) => {
    const ms = parseDurationMs(text);
    if (ms === null) return wrong(DURATION_HINT);
    if (ms < minMs || ms > maxMs)
      return wrong(`must be from ${formatDuration(minMs)} to ${formatDuration(maxMs)}`);
    return { ok: true, value: ms };
  }, DURATION_HINT);
}

function sizeUpTo(minBytes: number, maxBytes: number): z.ZodType<number, string> {
  return parsedBy((text) => {
    const size = parseSizeBytes(text);
    if (!size.ok || (size.value >= minBytes && size.value <= maxBytes)) return size;
    return wrong(`must be from ${minBytes} to ${maxBytes} bytes`);
  }, SIZE_HINT);
}

const HOUR_MS = 60 * 60_000;

/** The file, before the environment and the defaults; every leaf is also a variable. */
export const configSchema = z
  .strictObject({
    listen: endpoint.describe('Where clients connect, host:port.').optional(),
    upstream: parsedBy(parseUpstream)
      .describe('The server, postgres://host:port?sslmode=…; never with credentials.')
      .optional(),
    tls: z
      .strictObject({
        mode: z.enum(['disable', 'allow', 'require']).describe('TLS towards clients.').optional(),
        cert: path.describe('Certificate chain, PEM.').optional(),
        key: path.describe('Private key, PEM, without a passphrase.').optional(),
        client_ca: path.describe('Clients must show a certificate signed by one of these, PEM.').optional(),
      })
      .optional(),
    admin: z
      .strictObject({
        listen: endpoint.describe('Where the HTTP API listens, host:port.').optional(),
        tokens: path.describe('Who may use the HTTP API.').optional(),
        public_url: parsedBy(parsePublicUrl)
          .describe('Where people reach the console, for links in messages.')
          .optional(),
        metrics: z
          .enum(['token', 'open'])
          .describe('Whether /metrics needs a token with metrics:read.')
          .optional(),
      })
      .optional(),
    webhooks: path.describe('Who is told of approvals, and how.').optional(),
    store: parsedBy(parseStore).describe('Audit and approvals, sqlite:PATH.').optional(),
    snapshots: parsedBy(parseBlobTarget)
      .describe('Anchors of the audit; before-images, where snapshots_taken is on.')
      .optional(),
    previews: z
      .enum(['off', 'on'])
      .describe('Whether the server is asked what a held statement would do, for whoever decides.')
      .optional(),
    snapshots_taken: z
      .enum(['off', 'on'])
      .describe('Whether a decision to snapshot takes one, or is only recorded.')
      .optional(),
    trash: z
      .strictObject({
        retention_days: z
          .int()
          .min(1)
          .max(36_500)
          .describe('What was dropped longer ago is purged from holdfast_trash, with undo.connection.')
          .optional(),
        archive: z
          .enum(['off', 'on'])
          .describe('Whether what is in holdfast_trash is copied to the snapshots, and purged only then.')
          .optional(),
      })
      .optional(),
    snapshots_retention: z
      .strictObject({
        days: z.int().min(1).max(36_500).describe('Older snapshots are removed.').optional(),
        bytes: sizeUpTo(1024, Number.MAX_SAFE_INTEGER)
          .describe('The oldest snapshots are removed while all are larger, but none of the last day.')
          .optional(),
      })
      .optional(),
    approvals: z
      .strictObject({
        retention_days: z
          .int()
          .min(1)
          .max(36_500)
          .describe('Approvals that were over longer ago are dropped, with their previews; 90 unless told.')
          .optional(),
      })
      .optional(),
    audit: z
      .strictObject({
        signing_key: path.describe("Private key that the audit's heads are signed with, PEM.").optional(),
        retention_days: z.int().min(1).max(36_500).describe('Older records are dropped.').optional(),
        former_keys: parsedBy(parsePaths)
          .describe('Public keys of before, PEM, with commas between, whose manifests are still believed.')
          .optional(),
        durable_before_commit: z
          .enum(['off', 'on'])
          .describe('Whether a commit waits until what it commits is durably recorded.')
          .optional(),
      })
      .optional(),
    policy: path.describe('What happens to which statements.').optional(),
    undo: z
      .strictObject({
        connection: parsedBy(parseConnection)
          .describe('What undo connects with, postgres://user:password@host:port/database.')
          .optional(),
        trusted_roles: parsedBy(parseRoles)
          .describe('Roles, with commas between, whose code may run with the rights of undo.connection.')
          .optional(),
      })
      .optional(),
    quarantine: z
      .strictObject({
        attempts: z
          .int()
          .min(1)
          .max(LIMITS.attemptsMax)
          .describe('Refused statements that bring a role into quarantine.')
          .optional(),
        within: durationBetween(1_000, 24 * HOUR_MS)
          .describe('The time in which they are counted.')
          .optional(),
        for: durationBetween(1_000, LIMITS.quarantineMaxMs)
          .describe('How long the quarantine lasts.')
          .optional(),
        by: z.enum(['role', 'application']).describe('Whose attempts are counted together.').optional(),
      })
      .optional(),
    log: z.strictObject({ level: z.enum(LOG_LEVELS).optional() }).optional(),
    startup: z
      .strictObject({
        replication: z
          .enum(['refuse', 'allow'])
          .describe('Replication connections, which no policy reads.')
          .optional(),
      })
      .optional(),
    limits: z
      .strictObject({
        sessions_max: z.int().min(1).max(100_000).optional(),
        statement_bytes: sizeUpTo(1024, LIMITS.largeMessageBytes)
          .describe('The longest Query or Parse; a longer one is refused.')
          .optional(),
        startup_timeout: durationBetween(1_000, HOUR_MS).optional(),
        upstream_connect_timeout: durationBetween(100, HOUR_MS).optional(),
        drain_timeout: durationBetween(0, HOUR_MS).optional(),
      })
      .optional(),
  })
  .meta({ title: 'Holdfast configuration' });

export type ConfigInput = z.output<typeof configSchema>;
