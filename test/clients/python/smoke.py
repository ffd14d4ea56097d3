"""A little of every driver, none of which any policy should stop."""

import asyncio

import asyncpg
import psycopg
from sqlalchemy import create_engine, text

from target import URL

with psycopg.connect(URL) as conn:
    conn.execute("create table smoke (id int primary key, name text)")
    with conn.pipeline():
        conn.execute("insert into smoke values (%s, %s)", (1, "one"))
        conn.execute("update smoke set name = %s where id = %s", ("uno", 1))
        print("psycopg", conn.execute("select * from smoke where id = %s", (1,)).fetchone())
    with conn.cursor() as cur, cur.copy("copy smoke from stdin") as out:
        for i in range(2, 100):
            out.write_row((i, str(i)))


async def with_asyncpg():
    conn = await asyncpg.connect(URL)
    await conn.executemany("insert into smoke values ($1, $2)", [(i, "async") for i in range(100, 120)])
    async with conn.transaction():
        print("asyncpg", await conn.fetchval("select count(*) from smoke where name = $1", "async"))
    await conn.close()


asyncio.run(with_asyncpg())

engine = create_engine(URL.replace("postgresql:", "postgresql+psycopg:"))
with engine.begin() as connection, connection.begin_nested():
    connection.execute(text("delete from smoke where id = :id"), {"id": 119})
    print("SQLAlchemy", connection.scalar(text("select count(*) from smoke")))
engine.dispose()
