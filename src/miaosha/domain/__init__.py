"""The rules, pure: no I/O, no await, no clock; time and keys are arguments.

Everything here can be read and tested alone. Redis's scripts, SQL's statements and the model in
tests/model follow these modules, never the other way round.

Reading order: `reservation` (the table of moves), `place`, `allocation` (who gets a unit),
`rebuild`, `sale`, `messages`, `errors`; then what people enter: `fields`, `typed`, `credentials`,
`money`.
"""
