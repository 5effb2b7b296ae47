"""Use cases: what the platform does, over ports and without any server.

The order of the calls inside is the protocol: a death between any two of them loses nothing
(tests/usecases dies after each). A role's entry point calls one of these and encodes what it
returns. Some files hold what verbs share: `retry_unknown` and `patience` ask again, `coalesce`
works in rounds. `buyer_tally`, `newest` and `differences` keep what an audit or a replay has read.

Reading order: `allocate`, `grant`, `announce`, `checkout`, `release`, `promote`, `query`; then
what a loss calls for: `rebuild`, `merging`, `settlement`, `audit`, `invariants`; then `control`,
`mail_queue`.
"""
