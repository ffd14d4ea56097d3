"""psycopg 3: binds on the server, pipelines, COPY, cursors, notifications and transactions."""

from datetime import date
from decimal import Decimal

import psycopg
from psycopg import pq
from psycopg.rows import dict_row

from target import URL


def said(error):
    return f"{type(error).__name__} {error.sqlstate} {error.diag.message_primary}"


def status(conn):
    return pq.TransactionStatus(conn.info.transaction_status).name


def simple(conn):
    conn.execute("create table items (id int primary key, name text, price numeric(10, 2), made date)")
    print("simple", conn.execute("select 1 + 1, 'ünïcode €', null").fetchall())
    with psycopg.ClientCursor(conn) as cur:
        cur.execute("select %s::int, %s; select 2; select 3", (7, "it's"))
        while True:
            print("of several", cur.fetchall(), cur.statusmessage)
            if not cur.nextset():
                break
    conn.add_notice_handler(lambda d: print("notice", d.severity, d.sqlstate, d.message_primary))
    conn.execute("do $$ begin raise notice 'from a block'; raise warning 'a warning'; end $$")
    print("empty", conn.execute("").statusmessage)


def server_binds(conn):
    for row in [(1, "one", Decimal("1.10"), date(2024, 1, 31)), (2, "two", None, date(2024, 2, 29))]:
        conn.execute("insert into items values (%s, %s, %s, %s)", row)
    with conn.cursor() as cur:
        cur.executemany("insert into items values (%s, %s, %s, null)", [(i, f"n{i}", i) for i in range(3, 60)])
        print("executemany", cur.rowcount)
        cur.executemany(
            "insert into items values (%s, 'r') returning id", [(100,), (101,), (102,)], returning=True
        )
        print("returning", [r.fetchone() for r in cur.results()])
    with conn.cursor(binary=True, row_factory=dict_row) as cur:
        cur.execute("select * from items where id < %s order by id", (4,))
        print("binary", cur.fetchall())
    for n in range(8):
        found = conn.execute("select name from items where id = %s", (n + 1,), prepare=True).fetchone()
        print("prepared", n, found)
    try:
        conn.execute("select %s::int / %s", (1, 0))
    except psycopg.Error as error:
        print("failed", said(error), status(conn))
    print("arrays", conn.execute("select %s::int[], %s::text[]", ([1, None, 3], ["a", 'q"'])).fetchone())
    print("json", conn.execute("select %s::jsonb", (psycopg.types.json.Jsonb({"a": [1, 2]}),)).fetchone())


def pipeline(conn):
    with conn.pipeline() as p:
        first = conn.execute("select count(*) from items")
        conn.execute("insert into items values (200, 'pipelined')")
        p.sync()
        second = conn.execute("select count(*) from items where id >= %s", (200,))
    print("pipeline", first.fetchone(), second.fetchone())

    try:
        with conn.pipeline() as p:
            conn.execute("insert into items values (201, 'is lost')")
            conn.execute("insert into items values (1, 'is there')")
            conn.execute("insert into items values (202, 'is skipped')")
            p.sync()
    except psycopg.Error as error:
        print("pipeline failed", said(error), status(conn))
    print("after it", conn.execute("select count(*) from items where id > 200").fetchone())

    # When psycopg sees the error is a matter of timing, so nothing else is queued behind it.
    with conn.pipeline() as p:
        try:
            conn.execute("select 1 / (%s::int - 1)", (1,))
            p.sync()
        except psycopg.Error as error:
            print("within", said(error))
        p.sync()
        print("after sync", conn.execute("select 'goes on'").fetchone())

    try:
        with conn.pipeline():
            with conn.transaction():
                conn.execute("insert into items values (203, 'rolled back')")
                conn.execute("select nothing from nowhere")
    except psycopg.Error as error:
        print("pipelined transaction", said(error), status(conn))
    print("after it", conn.execute("select count(*) from items where id = 203").fetchone())

    with conn.pipeline():
        many = [conn.execute("select %s::int * 2", (i,)) for i in range(500)]
        print("many", sum(cur.fetchone()[0] for cur in many))


def copy(conn):
    conn.execute("create table copied (id int, note text, at timestamptz)")
    with conn.cursor() as cur:
        with cur.copy("copy copied (id, note) from stdin") as out:
            for i in range(2000):
                out.write_row((i, None if i % 7 == 0 else f"note\t{i}\n\\"))
        print("copy in", cur.rowcount, cur.statusmessage)
        with cur.copy("copy copied (id, note) from stdin (format binary)") as out:
            out.set_types(["int4", "text"])
            for i in range(2000, 3000):
                out.write_row((i, "binary"))
        print("copy in binary", cur.rowcount)
        with cur.copy("copy (select id, note from copied order by id limit 9) to stdout") as data:
            print("copy out", b"".join(bytes(block) for block in data))
        with cur.copy("copy (select id, note from copied order by id limit 9) to stdout (format binary)") as data:
            data.set_types(["int4", "text"])
            print("copy out binary", list(data.rows()))
        with cur.copy("copy copied to stdout (format binary)") as data:
            print("copy out bytes", sum(len(block) for block in data))
        try:
            with cur.copy("copy copied (id) from stdin") as out:
                out.write("1\n2\nthree\n")
        except psycopg.Error as error:
            print("copy failed", said(error), error.diag.context)
        try:
            with cur.copy("copy copied (id) from stdin") as out:
                out.write("1\n")
                raise ValueError("changed my mind")
        except ValueError as error:
            print("copy given up", error, status(conn))
        print("rows", cur.execute("select count(*), count(note) from copied").fetchone())


def cursors(conn):
    with conn.transaction():
        with conn.cursor(name="on_server", scrollable=True) as cur:
            cur.itersize = 100
            cur.execute("select id from copied where id < %s order by id", (1000,))
            print("server cursor", cur.fetchone(), cur.fetchmany(3))
            cur.scroll(500)
            print("scrolled", cur.fetchone(), sum(row[0] for row in cur))
        with conn.cursor(name="withheld", withhold=True) as cur:
            cur.execute("select id from copied where id < 5 order by id")
            print("with hold", cur.fetchall())
    streamed = conn.cursor().stream("select id from copied where id < 1000 order by id")
    print("stream", sum(row[0] for row in streamed))


def transactions(conn):
    with conn.transaction():
        conn.execute("insert into items values (300, 'outer')")
        try:
            with conn.transaction():
                conn.execute("insert into items values (301, 'inner')")
                conn.execute("insert into items values (300, 'again')")
        except psycopg.errors.UniqueViolation as error:
            print("savepoint", said(error), status(conn))
        with conn.transaction("named"):
            conn.execute("insert into items values (302, 'second inner')")
    print("kept", conn.execute("select id from items where id between 300 and 399 order by id").fetchall())
    try:
        with conn.transaction():
            conn.execute("insert into items values (303, 'gone')")
            raise psycopg.Rollback()
    except psycopg.Error as error:
        print("unexpected", error)
    conn.autocommit = False
    try:
        conn.execute("selec")
    except psycopg.Error as error:
        print("syntax", said(error), error.diag.statement_position, status(conn))
    try:
        conn.execute("select 1")
    except psycopg.Error as error:
        print("aborted", said(error), status(conn))
    conn.rollback()
    conn.execute("set transaction isolation level serializable read only")
    try:
        conn.execute("update items set name = 'x' where id = 1")
    except psycopg.Error as error:
        print("read only", said(error))
    conn.rollback()
    conn.autocommit = True
    print("kept", conn.execute("select id from items where id between 300 and 399 order by id").fetchall())


def two_phase():
    with psycopg.connect(URL) as conn:
        try:
            conn.tpc_begin(conn.xid(1, "global", "branch"))
            conn.execute("select 1")
            conn.tpc_prepare()
            conn.tpc_commit()
        except psycopg.Error as error:
            print("two-phase", said(error))
            conn.close()


def notifications(conn):
    with psycopg.connect(URL, autocommit=True) as other:
        conn.execute("listen news")
        other.execute("select pg_notify('news', %s)", ("first ✓",))
        with other.transaction():
            other.execute("notify news, 'second'")
            other.execute("notify news")
        for note in conn.notifies(timeout=10, stop_after=3):
            print("notification", note.channel, repr(note.payload))
        conn.execute("unlisten *")


def cancelling(conn):
    import threading

    timer = threading.Timer(0.3, conn.cancel_safe)
    timer.start()
    try:
        conn.execute("select pg_sleep(30)")
    except psycopg.Error as error:
        print("cancelled", said(error))
    timer.join()
    conn.execute("set statement_timeout = '50ms'")
    try:
        conn.execute("select pg_sleep(30)")
    except psycopg.Error as error:
        print("timeout", said(error))
    conn.execute("reset statement_timeout")
    print("alive", conn.execute("select 'yes'").fetchone())


with psycopg.connect(URL, autocommit=True) as connection:
    simple(connection)
    server_binds(connection)
    pipeline(connection)
    copy(connection)
    cursors(connection)
    transactions(connection)
    two_phase()
    notifications(connection)
    cancelling(connection)
    info = connection.info
    print("server", info.server_version, info.encoding, info.parameter_status("standard_conforming_strings"))
