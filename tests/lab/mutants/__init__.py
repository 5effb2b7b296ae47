"""Mutants: rules of the product, each broken in its own code, and the oracles that must find it.

Reading order: `breaking`; then `requests`, `rebuilds`, `money`, `duties`; `table` has all of them.
"""
