"""Contracts of the SQL adapters."""
