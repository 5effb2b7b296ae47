"""Serving: what the roles share as processes, and the small nouns that several of them need.

Arguments, logs, signals, the ops listener with health and metrics, heartbeats, signs of life,
waiting for servers, and the screen of a command.

Reading order: `process`, `ops`, `alive`, `waiting`; then `logs`, `outlet`, `screen`.
"""
