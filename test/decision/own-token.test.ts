import { afterAll, beforeAll, expect, it } from 'vitest';
import { BODIES, filledIn, type Operation, operationsOf } from '../admin/operations.ts';
import { errorsOf } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

const POLICY = `
mode: protect
rules:
  - { name: asks, match: { operation: [delete] }, action: hold, snapshot: off, hold: { mode: ticket } }
`;

/** What ends it, by its own wish; what shuts everybody out is undone by what comes right behind it. */
const ENDS = ['POST /v1/approvals/{id}/deny'];

let fixture: DecisionFixture;
let operations: readonly Operation[];
let id: string;
beforeAll(async () => {
  fixture = await DecisionFixture.start(POLICY);
  await fixture.postgres.sql('create role robot login superuser');
  const { body } = await fixture.gateway.http('/openapi.json');
  operations = operationsOf(body);
  const client = await fixture.client({ user: 'robot' });
  const [error] = errorsOf(await client.query('delete from precious'));
  id = (JSON.parse(error!['D']!) as { approval_id: string }).approval_id;
  await client.terminate();
});
afterAll(() => fixture?.stop());

/** Every method of every path about it, and of all others, with what they take and with nothing. */
async function tryAll(token: string): Promise<void> {
  for (const { name, method, path } of operations) {
    if (ENDS.includes(name) || path === '/v1/events') continue;
    const place = path.startsWith('/v1/approvals') ? path.replace('{id}', id) : filledIn(path);
    const bodies = method === 'POST' ? [BODIES[name] ?? {}, { comment: 'yes' }] : [undefined];
    for (const body of bodies) {
      const answer = await fixture.gateway.http(place, {
        ...{ method, token },
        ...(body === undefined ? {} : { body }),
      });
      if (/approve|break-glass/.test(path) && body !== bodies[1])
        expect([name, answer.status]).toEqual([name, 403]);
      if (path === '/v1/pause') await fixture.gateway.http('/v1/resume', { method: 'POST', body: {} });
      const now = await fixture.approval(id);
      expect([name, now['state'], now['votes']]).toEqual([name, 'pending', []]);
    }
  }
}

it.each([
  ['owns the role that has asked', 'owner', { roles: ['robot'] }],
  ['owns it by a pattern', 'pattern', { roles: ['rob*'] }],
  ['has its name', 'Robot', {}],
])(
  'whoever %s approves nothing of it over any route, nor by a token of their own making',
  async (_, name, owns) => {
    const own = fixture.gateway.addToken(name, { scopes: ['*'], ...owns });
    await tryAll(own);
    const { body } = await fixture.gateway.http('/v1/tokens', {
      method: 'POST',
      token: own,
      body: { name: `made by ${name}`, scopes: ['*'] },
    });
    await tryAll((body as { token: string }).token);
    expect(await fixture.preciousRows()).toBe(10);
  },
);

it('while somebody else does', async () => {
  const other = fixture.gateway.addToken('other', { scopes: ['approval:write'] });
  const answer = await fixture.gateway.http(`/v1/approvals/${id}/approve`, {
    ...{ method: 'POST', body: {}, token: other },
  });
  expect(answer).toMatchObject({ status: 200, body: { state: 'approved' } });
});
