"""Measures the purchase path: a load generator, scenarios on the embedded platform, tables, charts."""
