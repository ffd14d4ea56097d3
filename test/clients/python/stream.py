"""Reads a result of so many megabytes row by row, and makes a pause after its first rows."""

import sys
import time

import psycopg

from target import URL

MEGABYTES = int(sys.argv[3])
ROW_BYTES = 8192
total = 0
with psycopg.connect(URL, autocommit=True) as conn:
    query = f"select repeat('x', {ROW_BYTES}) from generate_series(1, {MEGABYTES * 1024 * 1024 // ROW_BYTES})"
    for number, (text,) in enumerate(conn.cursor().stream(query)):
        total += len(text)
        if number == 100:
            time.sleep(1)
print(total)
