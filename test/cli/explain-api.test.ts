import { expect, it } from 'vitest';
import { loadPolicyFile } from '../../src/policy/load.ts';
import { AnalysisCache } from '../../src/sql/cache.ts';
import { AdminUnderTest } from '../admin/admin-under-test.ts';
import { holdfast } from './support.ts';

const POLICY = 'config/policy.yaml';

it('the command and the API explain a statement in the same words', async () => {
  const policy = loadPolicyFile(POLICY);
  const analyzer = new AnalysisCache();
  const admin = await AdminUnderTest.start({
    policy: {
      current: () => policy,
      reload: async () => policy,
      read: (sql) => analyzer.analyzeText(sql),
      analyze: async (sql, facts, rows) => {
        const analysis = await analyzer.analyzeText(sql);
        return policy.forSession(facts).decided(analysis, rows);
      },
    },
  });
  try {
    const token = admin.token(['*']);
    for (const sql of [
      'select 1',
      'delete from hr.payroll; update "Ünï" set a = 1 where b = (select f(2))',
      "create role a password 'hunter2'",
      'copy a to program $$cat$$',
      'selec 1',
      '',
    ]) {
      const { out } = await holdfast([
        'explain',
        '--json',
        '--policy',
        POLICY,
        '--role',
        'agent_1',
        '--',
        sql,
      ]);
      const { status, body } = await admin.ask('POST', '/v1/analyze', token, { sql, role: 'agent_1' });
      expect(status).toBe(200);
      expect(body).toEqual(JSON.parse(out));
    }
  } finally {
    await admin.stop();
  }
});
