"""Fingerprint: stands for a set of terms, so that a change can say which it began with."""

import hashlib

import msgspec


def fingerprint(terms: object) -> str:
    """16 hexadecimal digits, others as soon as anything in `terms` (a msgspec type) is another."""
    return hashlib.sha256(msgspec.json.encode(terms)).hexdigest()[:16]
