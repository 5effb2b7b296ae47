"""Oracles: what must hold of a history whatever happens, and what once faults have ended.

`court` hears everything and asks the others: `always` (sums after every call), `told` (what a
buyer hears), `healing` (freezes and rebuilds need a cause), `waits` (nothing lasts), `money`,
`work` (nobody spins), `rest` (what is left at the end).
"""
