"""asyncpg: prepared statements, cursors, COPY, transactions, notifications and a pool."""

import asyncio
import io
from datetime import datetime, timezone
from decimal import Decimal

import asyncpg

from target import URL


def said(error):
    return f"{type(error).__name__} {error.sqlstate} {error}"


async def statements(conn):
    print("execute", await conn.execute("create table t (id int primary key, name text, n numeric, at timestamptz)"))
    print("script", await conn.execute("insert into t values (1, 'a'); insert into t values (2, 'b')"))
    at = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)
    print("insert", await conn.execute("insert into t values ($1, $2, $3, $4)", 3, "ü€", Decimal("3.30"), at))
    print("fetch", [tuple(row) for row in await conn.fetch("select * from t order by id")])
    prepared = await conn.prepare("select name, $1::int + id as sum from t where id = $2")
    print("attributes", [(a.name, a.type.name) for a in prepared.get_attributes()])
    print("parameters", [p.name for p in prepared.get_parameters()])
    for i in range(1, 5):
        print("prepared", await prepared.fetchrow(10, i))
    await conn.executemany("insert into t (id, name) values ($1, $2)", [(i, f"n{i}") for i in range(10, 500)])
    print("count", await conn.fetchval("select count(*) from t"))
    for wrong in ("select 1/0", "selec", "select * from nowhere", "insert into t values (1)"):
        try:
            await conn.fetch(wrong)
        except asyncpg.PostgresError as error:
            print("failed", said(error))
    try:
        await conn.executemany("insert into t (id) values ($1)", [(1000,), (1001,), (1,), (1002,)])
    except asyncpg.PostgresError as error:
        print("executemany failed", said(error), await conn.fetchval("select count(*) from t where id >= 1000"))
    await conn.execute("create type mood as enum ('sad', 'glad')")
    await conn.execute("create type pair as (a int, b mood)")
    print("types", await conn.fetchval("select row(1, $1::mood)::pair", "glad"))
    print("lists", await conn.fetchval("select $1::int[]", [1, 2, None]), await conn.fetchval("select null"))
    # The plan changes under the prepared statement.
    again = await conn.prepare("select * from t where id = 1")
    await again.fetch()
    await conn.execute("alter table t add column extra int default 5")
    try:
        print("plan", [tuple(row) for row in await again.fetch()])
    except asyncpg.PostgresError as error:
        print("plan", said(error))
    print("fetched again", tuple(await conn.fetchrow("select * from t where id = 1")))


async def cursors(conn):
    async with conn.transaction():
        seen = [row["id"] async for row in conn.cursor("select id from t order by id", prefetch=50)]
        print("cursor", len(seen), seen[:4], seen[-1])
        cursor = await conn.cursor("select id from t where id > $1 order by id", 9)
        print("fetch", [row["id"] for row in await cursor.fetch(3)])
        print("forward", await cursor.forward(100), (await cursor.fetchrow())["id"])


async def copying(conn):
    records = [(i, None if i % 5 == 0 else f"r{i}") for i in range(1000, 4000)]
    print("records", await conn.copy_records_to_table("t", records=records, columns=["id", "name"]))
    out = io.BytesIO()
    print("from query", await conn.copy_from_query("select id, name from t where id > $1 order by id", 3990, output=out))
    print(out.getvalue())
    out = io.BytesIO()
    print("from table", await conn.copy_from_table("t", output=out, columns=["id"], format="csv", header=True))
    print(len(out.getvalue()))
    source = io.BytesIO(b"9000,csv\n9001,more\n")
    print("to table", await conn.copy_to_table("t", source=source, columns=["id", "name"], format="csv"))
    try:
        await conn.copy_records_to_table("t", records=[(9100, "x"), (9000, "again")], columns=["id", "name"])
    except asyncpg.PostgresError as error:
        print("copy failed", said(error))
    print("count", await conn.fetchval("select count(*) from t"))


async def transactions(conn):
    async with conn.transaction():
        await conn.execute("insert into t (id, name) values (20000, 'outer')")
        try:
            async with conn.transaction():
                await conn.execute("insert into t (id, name) values (20001, 'inner')")
                await conn.execute("insert into t (id, name) values (20000, 'again')")
        except asyncpg.UniqueViolationError as error:
            print("savepoint", said(error), error.detail)
        async with conn.transaction():
            await conn.execute("insert into t (id, name) values (20002, 'second')")
    transaction = conn.transaction(isolation="repeatable_read")
    await transaction.start()
    await conn.execute("insert into t (id, name) values (20003, 'gone')")
    await transaction.rollback()
    print("kept", [row["id"] for row in await conn.fetch("select id from t where id >= 20000 order by id")])


async def listening(conn):
    heard = asyncio.Queue()
    await conn.add_listener("news", lambda _c, _pid, channel, payload: heard.put_nowait((channel, payload)))
    other = await asyncpg.connect(URL)
    await other.execute("notify news, 'one'")
    await other.execute("select pg_notify('news', $1)", "two ✓")
    print("heard", await asyncio.wait_for(heard.get(), 10), await asyncio.wait_for(heard.get(), 10))
    await other.close()
    await conn.reset()


async def timeouts(conn):
    try:
        await conn.fetch("select pg_sleep(30)", timeout=0.3)
    except asyncio.TimeoutError as error:
        print("timeout", type(error).__name__)
    print("alive", await conn.fetchval("select 'yes'"))


async def pooled():
    async with asyncpg.create_pool(URL, min_size=2, max_size=5) as pool:
        found = await asyncio.gather(*(pool.fetchval("select $1::int * 2", i) for i in range(100)))
        print("pool", sum(found))


async def main():
    conn = await asyncpg.connect(URL)
    conn.add_log_listener(lambda _c, message: print("notice", message.severity, message.message))
    await conn.execute("do $$ begin raise notice 'from a block'; end $$")
    await statements(conn)
    await cursors(conn)
    await copying(conn)
    await transactions(conn)
    await listening(conn)
    await timeouts(conn)
    await pooled()
    await conn.close()


asyncio.run(main())
