"""What the use cases need from the world, as Protocols whose docstrings are the contracts.

One file per owner of a truth: `store` (Redis), `broker`, `ledger`, `people` (accounts, catalogue,
trail), `outside` (mail, payments, files, clock, bus, tokens, passwords). Adapters are chosen by URL
in bootstrap; one test body per port runs on every adapter.
"""
