"""Docs: what the pages promise, tried as it is written there."""
