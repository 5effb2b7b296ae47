"""Ports: what the use cases need, as Protocols whose docstrings are the contracts.

A contract says what is atomic, what may be repeated, what is raised, and what the empty case is.
One file for each noun; `bootstrap` chooses the adapters by URL, and one body of tests for each
port runs on every adapter.

Reading order: `store` (Redis), `broker`, `ledger` (SQL), `bus`; then `payments`, `mail`, `outbox`,
`leases`, `rebuilding`. `auditing` is apart on purpose: an audit shares no code with what it checks.
"""
