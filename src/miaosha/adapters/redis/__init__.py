"""Redis adapters: decision state, bus, and a broker on streams; also Valkey, also a cluster.

Each decision is one Lua file in lua/, behind the shared lua/prelude.lua; `domain/allocation` is
their specification. Every key of a sale has one hash tag, so a script finds them all on one node.

Reading order: lua/prelude.lua and lua/decide.lua; `connect`, `scripts`, `store`, `board`,
`rebuild`; `bus`; then the broker: `stream_queue`, `stream_reader`, `broker`, `bell`.
"""
