"""Gateway: the sale on the sockets: what buyers watch and hear while a sale runs.

Reading order: `gateway` (the wiring, and the tasks of the process), `events` (what a client
may ask), `hub` (which session watches which sale, and whose it is), `fanout` (what clients hear
without asking), `lookups` (a buyer's place).

`miaosha.sockets` beneath carries all of it.
"""
