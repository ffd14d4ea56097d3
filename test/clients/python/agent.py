"""An agent that cannot wait: it reads its ticket, asks the API until it is approved, and sends the statement again.

Who approves stands beside it here, on a thread of its own, with the same API. What it prints is what came of it.
"""

import json
import sys
import threading
import time
import urllib.request

import psycopg

from target import URL

TOKEN = sys.argv[3]


def ask(url, body=None):
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=10) as answer:
        return json.load(answer)


def approve(url):
    time.sleep(0.2)
    ask(url + "/approve", {"comment": "go on"})


def ticket(error):
    assert error.sqlstate == "HF001", error
    return json.loads(error.diag.message_detail)


def until_done(conn, work):
    """Runs the work, and comes again with its ticket until it is done; says how often it was refused."""
    refused = []
    while True:
        try:
            work(conn)
            return refused
        except psycopg.Error as error:
            conn.rollback()
            detail = ticket(error)
            if detail["approval_id"] not in refused:
                refused.append(detail["approval_id"])
                threading.Thread(target=approve, args=(detail["url"],)).start()
            while ask(detail["url"])["state"] == "pending":
                time.sleep(0.05)


def left(conn):
    count = conn.execute("select count(*) from items").fetchone()[0]
    conn.rollback()
    return count


def refusal(conn, sql, parameters=()):
    try:
        conn.execute(sql, parameters)
        return "ran"
    except psycopg.Error as error:
        return error.sqlstate
    finally:
        conn.rollback()


with psycopg.connect(URL, application_name="agent") as conn:
    conn.execute("create table items as select i as id from generate_series(1, 100) i")
    conn.commit()

    def in_a_transaction(conn):
        with conn.transaction():
            conn.execute("insert into items values (1000)")
            conn.execute("delete from items where id between %s and %s", (1, 10))

    print("in a transaction", len(until_done(conn, in_a_transaction)), "left", left(conn))
    print("again", refusal(conn, "delete from items where id between %s and %s", (1, 10)))

with psycopg.connect(URL, application_name="agent", autocommit=True) as conn:
    delete = lambda conn: conn.execute("delete from items where id = 20")
    print("by itself", len(until_done(conn, delete)), "left", left(conn))
    print("again", refusal(conn, "delete from items where id = 20"))
    first = until_done(conn, lambda conn: conn.execute("delete from items where id = %s", (30,), prepare=True))
    print("prepared", len(first), "left", left(conn))
    print("another value", refusal(conn, "delete from items where id = %s", (31,)))
    print("another literal", refusal(conn, "delete from items where id = 21"))
    with psycopg.ClientCursor(conn) as cur:
        many = lambda conn: cur.execute("delete from items where id = 40; delete from items where id = 41")
        print("of several", len(until_done(conn, many)), "left", left(conn))

with psycopg.connect(URL, application_name="agent", autocommit=True) as conn:
    with conn.pipeline():
        pass
    asked = []
    try:
        with conn.pipeline():
            conn.execute("insert into items values (2000)")
            conn.execute("delete from items where id = 50")
    except psycopg.Error as error:
        asked.append(ticket(error))
    approve(asked[0]["url"])
    with conn.pipeline():
        conn.execute("insert into items values (2000)")
        conn.execute("delete from items where id = 50")
    print("in a pipeline", len(asked), "left", left(conn))

with psycopg.connect(URL, application_name="agent", autocommit=True) as conn:
    try:
        with conn.cursor().copy("copy items from stdin") as copy:
            copy.write_row((3000,))
        print("copy ran")
    except psycopg.Error as error:
        approve(ticket(error)["url"])
        with conn.cursor().copy("copy items from stdin") as copy:
            copy.write_row((3000,))
    print("copied, left", left(conn))

with psycopg.connect(URL.replace("postgres@", "robot@"), application_name="agent", autocommit=True) as conn:
    with psycopg.connect(URL, application_name="agent", autocommit=True) as other:
        for number in (60, 61):
            sql = f"delete from items where id = {number}"
            try:
                other.execute(sql)
            except psycopg.Error as error:
                approve(ticket(error)["url"])
            print("another role", refusal(conn, sql))
