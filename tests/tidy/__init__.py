"""Tidy: style, names, texts and history as tests; `make check` runs them first."""
