import { HoldfastError } from '../base/errors.ts';
import type { DemoStage } from './demo-stage.ts';

/** The story, in the order in which it is told. Each leaves the data as it found them. */
export const DEMO_STEPS: readonly ((stage: DemoStage) => Promise<void>)[] = [
  wrongUpdate,
  cascadingDelete,
  droppedTable,
];

const OAK = `name like 'Oak%'`;
const PRICES = `select id, name, price from products where ${OAK} order by id limit 3`;
const WRONG_UPDATE = `update products set price = 1.00 where ${OAK}`;

async function wrongUpdate(stage: DemoStage): Promise<void> {
  stage.heading('1. A wrong UPDATE');
  stage.say('One oak table was to be sold off. The condition meets everything that is made of oak.');
  await stage.show(PRICES);
  const [before] = (
    await stage.quietly(`select json_agg(p) from (select id, price from products where ${OAK}) p`)
  ).rows;
  await stage.show(WRONG_UPDATE);
  const id = await stage.snapshotOf(WRONG_UPDATE);
  if (id === null) {
    await putPricesBack(stage, before?.[0] ?? '[]');
    throw new HoldfastError(
      'CONFIG_INVALID',
      'no snapshot of it is to be found here, so that there is nothing to undo with',
      {
        detail: 'The demo has put the prices back itself.',
        hint: 'Run the demo in the directory that the gateway runs in, and start that with HOLDFAST_SNAPSHOTS_TAKEN=on.',
      },
    );
  }
  await stage.show(PRICES);
  stage.say('Before that was committed, Holdfast had stored the rows as they were:');
  await stage.list();
  stage.say('Undo compares, row by row, what is there with what the statement left, and sets it back:');
  await stage.undo(id);
  await stage.show(PRICES);
}

async function putPricesBack(stage: DemoStage, json: string): Promise<void> {
  const literal = `'${json.replaceAll("'", "''")}'`;
  await stage.quietly(
    `update products p set price = b.price from json_to_recordset(${literal}) as b (id int, price numeric) where b.id = p.id`,
  );
}

const COUNTS = `select (select count(*) from customers) as customers,
  (select count(*) from orders) as orders, (select count(*) from order_lines) as order_lines`;
const WRONG_DELETE = `delete from customers where city = 'Oslo'`;

async function cascadingDelete(stage: DemoStage): Promise<void> {
  stage.heading('2. A DELETE that takes more along than it says');
  stage.say('Fifty customers are to go. Foreign keys take their orders, and the lines of those, along.');
  await stage.show(COUNTS);
  await stage.show(WRONG_DELETE);
  await stage.show(COUNTS);
  const id = await stage.snapshotOf(WRONG_DELETE);
  if (id === null) throw new HoldfastError('NOT_FOUND', 'no snapshot was taken of the DELETE');
  stage.say(
    `The snapshot has the rows of all three tables. They come back together, in one transaction; the trigger
that adds up totals fires, and finds them right already:`,
  );
  await stage.undo(id);
  await stage.show(COUNTS);
}

const WRONG_DROP = 'drop table order_lines';
const LINES = 'select count(*) as lines, sum(quantity * price) as worth from order_lines';

async function droppedTable(stage: DemoStage): Promise<void> {
  stage.heading('3. A dropped table');
  if (!stage.mayApprove) {
    stage.say(
      `Policy holds every DROP until somebody approves it. With HOLDFAST_TOKEN set to the admin token, which
npm start has shown when it made it, the demo approves one, and brings the table back.`,
    );
    return;
  }
  stage.say('Policy holds a DROP until somebody approves it. Somebody does, and should not have.');
  await stage.show(LINES);
  await stage.showApproved(WRONG_DROP);
  const id = await stage.snapshotOf(WRONG_DROP);
  if (id === null) throw new HoldfastError('NOT_FOUND', 'no snapshot was taken of the DROP');
  stage.say(
    'The client was told that it is dropped. It was moved into a schema of its own, however large it is,\nand comes back in a moment, with its rows, indexes, foreign keys and triggers:',
  );
  await stage.undo(id);
  await stage.show(LINES);
}
