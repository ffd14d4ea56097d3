"""Where a script connects to: the port and the database, in this order, are its arguments."""

import sys

HOST = "127.0.0.1"
USER = "postgres"
PORT = int(sys.argv[1])
DATABASE = sys.argv[2]
URL = f"postgresql://{USER}@{HOST}:{PORT}/{DATABASE}"
