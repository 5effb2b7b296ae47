"""Use cases: what the platform does, over ports and without any server.

The order of the calls inside is the protocol: a death between any two of them loses nothing
(tests/usecases dies after each). A role's entry point calls one of these and encodes what it
returns.

Reading order: `allocate`, `grant`, `announce`, `checkout`, `release`, `promote`, `query`; then
what a loss calls for: `rebuild`, `merging`, `settlement`, `audit`, `invariants`; then `control`,
`mail_queue`.
"""
