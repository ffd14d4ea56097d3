import { describe, expect, it } from 'vitest';
import { readStartupParameters } from '../../../src/session/connection/startup-parameters.ts';

type Parameters = readonly (readonly [string, string])[];

const read = (parameters: Parameters, trusting = false) =>
  readStartupParameters([['user', 'anna'], ...parameters], trusting);
const withOptions = (options: string, trusting = false) => read([['options', options]], trusting);
const refusal = expect.objectContaining({ code: 'STARTUP_REFUSED' });

describe('startup parameters', () => {
  it('say who it is and where it goes', () => {
    expect(
      read([
        ['database', 'shop'],
        ['application_name', 'app'],
      ]),
    ).toEqual({
      user: 'anna',
      database: 'shop',
      application: 'app',
      replication: false,
      searchPath: null,
    });
  });

  it('leave the database to the name of the user', () => {
    expect(read([]).database).toBe('anna');
    expect(read([['database', '']]).database).toBe('anna');
  });

  it('count as the last of a name says, which is how the server takes them', () => {
    expect(read([['user', 'postgres']]).user).toBe('postgres');
  });

  it('cut names of roles and databases at 63 bytes, as the server does', () => {
    const facts = read([
      ['user', 'u'.repeat(64)],
      ['database', 'd'.repeat(100)],
    ]);
    expect([facts.user, facts.database]).toEqual(['u'.repeat(63), 'd'.repeat(63)]);
  });

  it('cut a name at bytes before it is read as text', () => {
    const bytes = Buffer.from(`${'u'.repeat(62)}ü`, 'utf8').toString('latin1');
    expect(read([['user', bytes]]).user).toBe(`${'u'.repeat(62)}\ufffdc3`);
  });

  it('that are not UTF-8 are names of their own', () => {
    const facts = read([
      ['user', 'm\xfcller'],
      ['database', 'm\xf8ller'],
      ['application_name', Buffer.from('größe', 'utf8').toString('latin1')],
    ]);
    expect(facts).toMatchObject({ user: 'm\ufffdfcller', database: 'm\ufffdf8ller', application: 'größe' });
    expect(read([['user', 'm\xf8ller']]).user).not.toBe(facts.user);
  });

  it.each([
    ['database', true],
    ['true', true],
    ['on', true],
    ['1', true],
    ['yes', true],
    ['off', false],
    ['false', false],
    ['0', false],
    ['no', false],
    ['OFF', false],
    // What the server does not understand it refuses; until then it counts as what it may be.
    ['perhaps', true],
  ])('replication=%s is %s', (value, replication) => {
    expect(read([['replication', value]]).replication).toBe(replication);
  });

  it.each([
    'role',
    'session_authorization',
    'session_replication_role',
    'row_security',
    'standard_conforming_strings',
    'session_preload_libraries',
    'Row_Security',
  ])('%s is refused, however it comes, and let through in monitor mode', (name) => {
    for (const parameters of [
      [[name, 'x']],
      [['options', `-c ${name}=x`]],
      [['options', `-c${name}=x`]],
      [['options', `--${name}=x`]],
      [['options', `--${name.replaceAll('_', '-')}=x`]],
    ] as Parameters[]) {
      expect(() => read(parameters)).toThrow(refusal);
      expect(() => read(parameters, true)).not.toThrow();
    }
  });

  it.each(['-O', '-P', '-fi', '-E', '-l', 'word', '-d 5'])('the switch %s is refused', (options) => {
    expect(() => withOptions(options)).toThrow(refusal);
    expect(() => withOptions(options, true)).not.toThrow();
  });

  it.each<[string, string]>([
    ['-c search_path=a', 'a'],
    ['-csearch_path=a', 'a'],
    ['--search_path=a', 'a'],
    ['--search-path=a', 'a'],
    ['  -c\tsearch_path=a\n', 'a'],
    ['-c search_path=a\\ b', 'a b'],
    ['-c search_path=a,\\ pg_catalog', 'a, pg_catalog'],
    ['-c search_path=a\\\\b', 'a\\b'],
    ['-c search_path=a=b', 'a=b'],
    ['-c search_path=a -c search_path=b', 'b'],
    ['-c SEARCH_PATH=a', 'a'],
    ['\\-c search_path=a', 'a'],
    ['-c sea\\rch_path=a', 'a'],
  ])('options "%s" set search_path to "%s"', (options, path) => {
    expect(withOptions(options).searchPath).toBe(path);
  });

  it.each(['', ' ', '-c', '-c nonsense', '--nonsense'])('options "%s" set nothing', (options) => {
    expect(withOptions(options).searchPath).toBeNull();
  });

  it('words of options end at the white space of ASCII alone, as the server has it', () => {
    expect(withOptions('-c search_path=a\xa0b').searchPath).toBe('a\ufffda0b');
    expect(() => withOptions('-c search_path=a\v--role=postgres')).toThrow(refusal);
  });

  it('a refused setting is found behind any number of others', () => {
    const many = Array.from({ length: 200 }, (_, i) => `-c x.y${i}=1`).join(' ');
    expect(() => withOptions(`${many} -c role=postgres`)).toThrow(refusal);
    expect(() => withOptions('-c work_mem=1MB --role=postgres')).toThrow(refusal);
  });

  it('a refusal says what to do', () => {
    expect(() => read([['role', 'postgres']])).toThrow(
      expect.objectContaining({ sqlstate: '0A000', hint: expect.stringContaining('statement') }),
    );
  });
});
