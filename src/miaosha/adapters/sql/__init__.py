"""SQL: the ledger, accounts, the catalogue and the trail, on SQLite, MariaDB/MySQL and PostgreSQL.

All work is a *unit*: a plain function of a connection that runs in one transaction. Two
implementations of `Database` run units: on a file, and on a server with an optional replica.
Every change of a state is one statement that names the state it starts from.

Reading order: `tables`, `database`, `file_database`, `server_database`, `group_commit`; then by
noun `sale_terms`, `holds`, `grants`, `releases`, `attempts`, `captures`, `outbox`, put together in
`ledger`.
"""
