"""Measures the purchase path: a generator, scenarios on the embedded platform, tables, charts."""
