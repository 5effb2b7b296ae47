"""Miaosha: a flash-sale platform. The map of the packages is docs/architecture.md."""

__version__ = "0.1.0"
