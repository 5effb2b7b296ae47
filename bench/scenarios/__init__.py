"""The scenarios: each takes a running stack and gives a row."""
