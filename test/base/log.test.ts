import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { createLogger, maskSecrets } from '../../src/base/log.ts';

function logged(write: (log: ReturnType<typeof createLogger>) => void): Record<string, unknown>[] {
  const lines: string[] = [];
  write(createLogger('info', { write: (line) => lines.push(line) }));
  return lines.map((line) => JSON.parse(line));
}

describe('the log', () => {
  it('is one line of JSON an event, at its level or above', () => {
    const [event, ...rest] = logged((log) => {
      log.debug('not this');
      log.info({ session: 'ses_1' }, 'a session began');
    });
    expect(rest).toEqual([]);
    expect(event).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-.*Z$/),
      session: 'ses_1',
      msg: 'a session began',
    });
  });

  it('has no secret in fields, messages and errors', () => {
    const cause = new Error("cannot use password='hunter2'");
    const error = new HoldfastError('UPSTREAM_LOST', 'postgres://ana:hunter2@db/shop is gone', {
      detail: 'hunter2',
      cause,
    });
    const lines = logged((log) => {
      log.info(
        { password: 'hunter2', config: { password: 'hunter2', upstream: { connection: 'hunter2' } } },
        'x',
      );
      log.info('connecting to postgres://ana:hunter2@db:5432/shop');
      log.error({ error }, 'failed');
      log.error({ err: error }, 'failed');
      log.error(error);
    });
    expect(lines).toHaveLength(5);
    expect(JSON.stringify(lines)).not.toContain('hunter2');
    expect(lines[2]).toMatchObject({
      error: {
        code: 'UPSTREAM_LOST',
        message: expect.stringContaining('postgres://ana:***@db/shop is gone'),
      },
    });
  });
});

describe('masking', () => {
  it.each([
    ['postgres://ana:p%40ss@db/shop', 'postgres://ana:***@db/shop'],
    ["host=db password='it''s \\' secret' user=ana", 'host=db password=*** user=ana'],
    ['host=db password=secret user=ana', 'host=db password=*** user=ana'],
    ["alter role app PASSWORD 'secret'", 'alter role app PASSWORD ***'],
    ['postgres://db/shop?password=secret&sslmode=require', 'postgres://db/shop?password=***&sslmode=require'],
    ['token hf_0123456789abcdefghijklmnop', 'token hf_***'],
    ['nothing to hide: a@b', 'nothing to hide: a@b'],
  ])('makes %s into %s', (text, masked) => {
    expect(maskSecrets(text)).toBe(masked);
  });

  it.each(['a', ' ', '://a:', 'x://a:b@ ', 'password ', "password='", 'password=', '@'])(
    'takes no longer for each character of a long text than of a short one: %j',
    (part) => {
      const text = `password=${part.repeat((512 * 1024) / part.length)}`;
      const started = performance.now();
      maskSecrets(text);
      expect(performance.now() - started).toBeLessThan(2_000);
    },
  );
});
