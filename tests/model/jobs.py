"""Kinds of jobs and their program counters: a job (kind, pc, …) is what a process has in hand."""

from typing import Any

from tests.model.state import State

Step = tuple[int, Any, str | None, State]  # who, label, violation, the state after
Job = tuple[Any, ...]

# kinds of jobs, and their program counters
CONSUME, GRANT, TELL, CHECKOUT, TOLD_STOCK, TOLD_PHASE, REBUILD, SETTLE = 1, 2, 3, 4, 5, 6, 7, 8
GRANTING, GRANTED, RELEASING, ACKING = 1, 2, 3, 4
TELLING, SYNCING = 1, 2
CHARGING, CONCLUDING = 1, 2
