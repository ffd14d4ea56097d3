import { expect, it } from 'vitest';
import { namesForeignCode } from '../../src/undo/foreign-names.ts';

it.each([
  ['ALTER TABLE app.t ADD COLUMN a integer', false],
  ['ALTER TABLE "my app"."t.u" ADD COLUMN "a.b" numeric(10,2)', false],
  ['ALTER TABLE app.t ADD COLUMN a text COLLATE pg_catalog."C"', false],
  ["ALTER TABLE app.t ADD CONSTRAINT c CHECK (a > 1.5 AND b <> 'app.f(1)')", false],
  ['ALTER TABLE app.t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES app.other(id)', false],
  ['CREATE INDEX i ON app.t USING btree (lower(a))', false],
  ['ALTER TABLE app.t ADD COLUMN g integer GENERATED ALWAYS AS (app.f(a)) STORED', true],
  ['ALTER TABLE app.t ADD COLUMN g "my app".positive', true],
  ['ALTER TABLE app.t ADD CONSTRAINT c CHECK (a OPERATOR(app.=) 1)', true],
  ['CREATE INDEX i ON app.t USING btree ("My App"."f.g"(a))', true],
  ["ALTER TABLE app.t ADD CONSTRAINT c CHECK (a <> 'it''s' AND app.f(a))", true],
])('%s', (sql, names) => {
  expect(namesForeignCode(sql)).toBe(names);
});
