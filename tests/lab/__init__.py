"""The laboratory: the roles' own code, many processes, many faults, virtual time, from one seed.

Nothing of it is in the wheel. A seed gives one history; the same seed gives the same history.

Reading order: `loop`, `dice`, `link`, `faults`; the servers (`store_server`, `broker_server`,
`sql`, `provider`); `roles`, `process`, `people`, `staff`; `oracles`; `world`, `campaign`.
"""
