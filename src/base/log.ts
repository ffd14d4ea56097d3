import { type DestinationStream, type Logger, pino } from 'pino';

export type { Logger } from 'pino';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Fields that are never written, wherever they turn up near the top of an event. */
const SECRET_FIELDS = [
  'password',
  'passwd',
  'secret',
  'token',
  'authorization',
  'connection',
  'connectionString',
];

/** Writes one JSON line an event to standard error, so that standard output stays free for what a command prints. */
export function createLogger(level: LogLevel, destination: DestinationStream = standardError()): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError, error: describeError },
      redact: {
        paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]),
        censor: '***',
      },
      hooks: {
        logMethod(parameters, method) {
          // pino takes the message of an error that comes alone as it is, past the serialiser.
          const [first, ...rest] = parameters as readonly unknown[];
          const named =
            first instanceof Error
              ? [{ err: first }, ...(rest.length > 0 ? rest : [first.message])]
              : parameters;
          const masked = named.map((one) => (typeof one === 'string' ? maskSecrets(one) : one));
          method.apply(this, masked as typeof parameters);
        },
      },
    },
    destination,
  );
}

let opened: DestinationStream | null = null;

/** One for all loggers, which would each wait for it by itself. */
function standardError(): DestinationStream {
  opened ??= openStandardError();
  return opened;
}

/** What is kept of the log while nothing takes it, in characters; what is more is lost. */
const KEPT_MAX = 1_048_576;

/** When it is tried again, where no line follows. */
const AGAIN_MS = 1_000;

/**
 * A program whose log is in the way of its work is worse than one without a log: what its disk has no room for, or its
 * reader does not take, waits.
 */
function openStandardError(): DestinationStream {
  // A pipe that is full is waited for unless Node has opened it as a stream.
  process.stderr.on('error', () => {});
  const lines = pino.destination({
    dest: 2,
    sync: true,
    // With none there is nothing to flush, as it sees it.
    minLength: 1,
    maxLength: KEPT_MAX,
    retryEAGAIN: () => false,
  });
  let waits = false;
  lines.on('error', () => {
    waits = true;
  });
  const again = (): void => {
    if (!waits) return;
    waits = false;
    lines.flush();
  };
  setInterval(again, AGAIN_MS).unref();
  const flush = lines.flushSync.bind(lines);
  lines.flushSync = () => {
    try {
      flush();
    } catch {
      // It is kept, and tried again.
    }
  };
  return lines;
}

function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return typeof error === 'string' ? maskSecrets(error) : error;
  const described = pino.stdSerializers.err(error);
  // The raw error and its further fields may hold what was sent; the sentence and the place are what helps.
  return {
    type: described.type,
    ...('code' in error ? { code: error.code } : {}),
    message: maskSecrets(described.message),
    stack: maskSecrets(described.stack),
  };
}

/** Masks the password of a connection URL, and of `password=…` in a connection string or an option. */
export function maskSecrets(text: string): string {
  return (
    text
      // Taken apart at every blank and at sign, so that nothing is looked through twice.
      .replace(/[^\s@]*@|[^\s@]+/g, withoutUserinfo)
      .replace(/\b(passw(?:or)?d\s*[=:]\s*)('(?:[^'\\]|\\.|'')*'|"[^"]*"|[^\s&;,]+)/gi, '$1***')
      .replace(/\b(password\s+)('(?:[^']|'')*')/gi, '$1***')
      .replace(/\bhf_[A-Za-z0-9_-]{20,}/g, 'hf_***')
  );
}

function withoutUserinfo(part: string): string {
  return part.endsWith('@') ? part.replace(/(:\/\/[^:/]*:).*$/s, '$1***@') : part;
}
