import { type BlobTarget, formatBlobTarget } from '../blobs/blob-target.ts';
import { SAMPLE } from './sample.ts';

/** Where the command line and `npm run sql` look unless told. */
const USUAL_LISTEN = '127.0.0.1:6432';
const USUAL_ADMIN_LISTEN = '127.0.0.1:8432';

/** The upstream a gateway starts with: the sample that it started itself, or a server that was there. */
export interface WelcomeFacts {
  /** Where clients connect: host:port. */
  readonly listen: string;
  readonly adminListen: string;
  /** The admin token, where this start has made it; it is shown this once. */
  readonly token: string | null;
  readonly embedded: WelcomeEmbedded | null;
  /** host:port of the server behind the gateway. */
  readonly upstream: string;
  /** Where before-images go, or null where none are taken. */
  readonly snapshots: KeptSnapshots | null;
}

export interface KeptSnapshots {
  readonly place: BlobTarget;
  /** How long and how much of them is kept; null is without a limit. */
  readonly retention: { readonly ageMs: number | null; readonly bytes: number | null };
}

export interface WelcomeEmbedded {
  readonly version: string;
  readonly dataDir: string;
  readonly created: boolean;
}

const DAY_MS = 86_400_000;

const NO_SNAPSHOTS = [
  'No snapshots are taken: what policy would snapshot runs as if it were allowed, and cannot be undone.',
  'HOLDFAST_SNAPSHOTS_TAKEN=on (snapshots_taken: on) takes them.',
].join('\n');

/** What `holdfast serve` tells the person in front of it once it is ready. */
export function welcome(facts: WelcomeFacts): string {
  const parts = [
    upstreamPart(facts),
    connectPart(facts),
    adminPart(facts),
    ...snapshotsPart(facts),
    ...(facts.embedded === null ? [] : [tryPart(facts)]),
    'Press Ctrl-C to stop: sessions are drained, and everything that was started is stopped.',
  ];
  return `${parts.join('\n\n')}\n`;
}

function upstreamPart({ embedded, upstream }: WelcomeFacts): string {
  if (embedded === null) return `Holdfast is ready, in front of PostgreSQL at ${upstream}.`;
  const sample = embedded.created ? 'a new sample database' : 'the sample database of the last start';
  return [
    `Holdfast is ready, in front of PostgreSQL ${embedded.version} with ${sample},`,
    `kept in ${embedded.dataDir}. HOLDFAST_UPSTREAM=postgres://HOST:PORT puts it before a server of yours.`,
  ].join('\n');
}

function connectPart({ embedded, listen }: WelcomeFacts): string {
  if (embedded === null) return `Connect your clients to ${listen} with the roles and passwords they have.`;
  return lines('Connect with any PostgreSQL client:', [`psql ${quoted(sampleUrl(listen))}`]);
}

function adminPart({ adminListen, token }: WelcomeFacts): string {
  const url = `http://${adminListen}`;
  if (token === null)
    return `Console and admin API: ${url}, with a token shown at an earlier start or made by you.`;
  const elsewhere = adminListen === USUAL_ADMIN_LISTEN ? [] : [`export HOLDFAST_ADMIN_URL=${url}`];
  return lines(`Console and admin API: ${url}, with this token, which is shown only now:`, [
    `export HOLDFAST_TOKEN=${token}`,
    ...elsewhere,
  ]);
}

/** In front of a server of the user's, where they take the place of data that matters. */
function snapshotsPart({ embedded, snapshots }: WelcomeFacts): readonly string[] {
  if (snapshots === null) return [NO_SNAPSHOTS];
  if (embedded !== null) return [];
  const { place, retention } = snapshots;
  return [
    [
      `Before-images of what statements change go to ${formatBlobTarget(place)}, ${keptFor(retention)}.`,
      'What none can be taken of waits for approval. HOLDFAST_SNAPSHOTS_TAKEN=off takes none, and holds nothing for that.',
    ].join('\n'),
  ];
}

function keptFor({ ageMs, bytes }: KeptSnapshots['retention']): string {
  if (ageMs === null && bytes === null)
    return 'and stay there until they are removed: snapshots_retention.days and .bytes set limits';
  const days = ageMs === null ? null : `for ${ageMs / DAY_MS} days`;
  const size = bytes === null ? null : `while all are smaller than ${Math.round(bytes / 2 ** 20)} MiB`;
  return `and are kept ${[days, size].filter((part) => part !== null).join(', and ')}`;
}

function tryPart({ listen, adminListen }: WelcomeFacts): string {
  const run = (sql: string) => `psql ${quoted(sampleUrl(listen))} -c ${quoted(sql)}`;
  const url = listen === USUAL_LISTEN ? '' : `--url ${sampleUrl(listen)} `;
  return [
    `Four things to try, each in another terminal (without psql: npm run -s sql -- ${url}"SQL"):`,
    lines('1. A harmless statement runs at once.', [
      run('select * from monthly_revenue order by month desc limit 3'),
    ]),
    lines('2. A DELETE without WHERE waits for approval, and says under which ID.', [
      run('delete from order_lines'),
    ]),
    lines('3. Approve it, or deny it, from a third terminal; HOLDFAST_TOKEN has to be set there.', [
      'npm run -s holdfast -- approvals',
      'npm run -s holdfast -- approvals approve ID',
      `curl -X POST -H "Authorization: Bearer $HOLDFAST_TOKEN" http://${adminListen}/v1/approvals/ID/approve`,
    ]),
    lines('4. See a wrong UPDATE, a DELETE that takes more along than it says, and a DROP TABLE undone.', [
      `${listen === USUAL_LISTEN ? '' : `HOLDFAST_LISTEN=${listen} `}npm run -s holdfast -- demo`,
    ]),
  ].join('\n');
}

function sampleUrl(listen: string): string {
  return `postgres://${SAMPLE.role}:${SAMPLE.password}@${listen}/${SAMPLE.database}`;
}

/** Double quotes work in every shell for what is quoted here. */
function quoted(text: string): string {
  return `"${text}"`;
}

function lines(heading: string, commands: readonly string[]): string {
  return [heading, ...commands.map((command) => `  ${command}`)].join('\n');
}
