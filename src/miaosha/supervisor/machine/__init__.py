"""Machine: what it allows: descriptors, ports, memory, and what else its kernel bounds.

A *demand* says what somebody wants (a rehearsal, a platform, a benchmark); the limits say whether
it fits, and which line raises what is too low. Nothing here changes the machine.

Reading order: `kernel`, `capacity`, `demands`, `machine_limits` (the one table), `fit`; `usage`
by itself.
"""
