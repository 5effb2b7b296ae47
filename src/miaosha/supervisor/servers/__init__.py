"""Private servers: Valkey, and those of the full stack from system packages.

Each has a directory, sockets or loopback ports of its own, and a password where it takes one. All
of them end with whoever started them.

Reading order: `valkey`, `packaged_server` (how a server of a package is run), `rabbitmq`,
`mariadb`, `valkey_cluster`, `full_stack`.
"""
