import { join } from 'node:path';
import type { ClusterScript } from './cluster.ts';
import { LOOPBACK } from './server.ts';
import { runningPort } from './stale.ts';

/**
 * The sample database: what a small shop would have. Its rows are computed, without chance, so that everybody
 * has the same ones.
 */
export const SAMPLE = { database: 'shop', role: 'demo', password: 'demo' } as const;

/** Where its cluster is kept, from the working directory. */
export const SAMPLE_DATA = join('data', 'postgres');

/** The sample's password is known to all, so that undo may use it. */
export const sampleConnection = ({ host, port }: { readonly host: string; readonly port: number }): string =>
  `postgres://${SAMPLE.role}:${SAMPLE.password}@${host}:${port}`;

/** The same of the one that runs here, or null. */
export function runningSample(): string | null {
  const port = runningPort(SAMPLE_DATA);
  return port === null ? null : sampleConnection({ host: LOOPBACK, port });
}

/** Only the sample's role is let in, with its password; the superuser has none and is let in from nowhere. */
export const SAMPLE_HBA = [`host all ${SAMPLE.role} 127.0.0.1/32 scram-sha-256`] as const;

const ROLE = `
create role ${SAMPLE.role} login createdb password '${SAMPLE.password}';

-- Undo without firing triggers, which is the owner's right to choose here.
grant set on parameter session_replication_role to ${SAMPLE.role};

create database ${SAMPLE.database} owner ${SAMPLE.role};
`;

const SCHEMA = `
set role ${SAMPLE.role};

create table customers (
  id integer generated always as identity primary key,
  name text not null,
  email text not null unique,
  city text not null,
  created_at timestamptz not null
);

create table products (
  id integer generated always as identity primary key,
  sku text not null unique,
  name text not null,
  price numeric(8, 2) not null check (price > 0),
  stock integer not null check (stock >= 0)
);

create table orders (
  id integer generated always as identity primary key,
  customer_id integer not null references customers on delete cascade,
  status text not null check (status in ('open', 'paid', 'shipped', 'cancelled')),
  placed_at timestamptz not null,
  total numeric(10, 2) not null default 0
);

create table order_lines (
  order_id integer not null references orders on delete cascade,
  line integer not null,
  product_id integer not null references products,
  quantity integer not null check (quantity > 0),
  price numeric(8, 2) not null,
  primary key (order_id, line)
);

create index on orders (customer_id);

create index on order_lines (product_id);

create view monthly_revenue as
  select date_trunc('month', placed_at)::date as month, count(*) as orders, sum(total) as revenue
  from orders where status in ('paid', 'shipped')
  group by 1 order by 1;
`;

// It leaves totals alone that are right already, as those are which an undo brings back with their lines.
const TRIGGER = `
create function keep_order_total() returns trigger language plpgsql as $$
begin
  update orders set total = worth.total
    from (
      select o.id, coalesce(sum(l.quantity * l.price), 0) as total
        from orders as o left join order_lines as l on l.order_id = o.id
       where o.id in (old.order_id, new.order_id)
       group by o.id
    ) as worth
   where orders.id = worth.id and orders.total is distinct from worth.total;
  return null;
end $$;

create trigger keep_order_total after insert or update or delete on order_lines
  for each row execute function keep_order_total();
`;

const ROWS = `
insert into customers (name, email, city, created_at)
select first || ' ' || last, lower(first) || '.' || lower(last) || n || '@example.com', city,
  timestamptz '2024-01-01 08:00+00' + n * interval '17 hours 43 minutes'
from generate_series(0, 499) as n,
  lateral (select
    (array['Ada','Bruno','Chiara','Dilek','Emil','Farah','Goran','Hana','Ivo','Jana','Kofi','Lena'])[n * 7 % 12 + 1],
    (array['Abbott','Bauer','Costa','Dubois','Eriksen','Fischer','Garcia','Horvat','Ito','Jensen',
      'Kaya','Lindgren','Moreau','Nowak','Okafor'])[n * 11 % 15 + 1],
    (array['Amsterdam','Berlin','Copenhagen','Lisbon','Lyon','Milan','Oslo','Prague','Vienna','Zagreb'])[n * 3 % 10 + 1]
  ) as picked (first, last, city);

insert into products (sku, name, price, stock)
select 'SKU-' || lpad((n + 1)::text, 4, '0'), quality || ' ' || thing,
  round((5 + n * 137 % 24000 / 100.0)::numeric, 2), n * 53 % 400
from generate_series(0, 119) as n,
  lateral (select
    (array['Oak','Steel','Linen','Copper','Walnut','Ceramic','Wool','Bamboo'])[n % 8 + 1],
    (array['table','lamp','chair','kettle','blanket','shelf','mug','bowl','mirror','desk',
      'clock','vase','stool','rug','tray'])[n / 8 + 1]
  ) as picked (quality, thing);

insert into orders (customer_id, status, placed_at)
select n * 7919 % 500 + 1,
  (array['shipped','shipped','shipped','shipped','paid','paid','open','cancelled'])[n * 5 % 8 + 1],
  timestamptz '2025-01-01 09:00+00' + n * interval '5 hours 11 minutes'
from generate_series(0, 1999) as n;

insert into order_lines (order_id, line, product_id, quantity, price)
select o.id, line, p.id, (o.id + line) % 4 + 1, p.price
from orders as o
cross join lateral generate_series(1, o.id * 31 % 4 + 1) as line
join products as p on p.id = (o.id * 13 + line * 29) % 120 + 1;

update orders as o set total = (
  select sum(quantity * price) from order_lines as l where l.order_id = o.id
);
`;

export const SAMPLE_SCRIPTS: readonly ClusterScript[] = [
  { database: 'postgres', sql: ROLE },
  // The rows come before the trigger, which would run once for each of them.
  {
    database: SAMPLE.database,
    sql: [SCHEMA, ROWS, TRIGGER, '\nreset role;\n\nvacuum analyze;\n'].join('\n'),
  },
];
