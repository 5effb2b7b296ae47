"""Adapters: the ports on real servers and libraries, one folder for each server.

`bootstrap` chooses them by URL and imports them late, so a role loads only what it opens. An
adapter turns the errors of its library into those of `domain/errors`. One body of tests for each
port runs on every adapter of it (tests/contract). Adapters do not know use cases.

Reading order: `clock`, `redis`, `sql`, `rabbitmq`, `mail`, `payments`, `files`; then `keyring`,
`tokens`, `access_tokens`, `passwords`, `guessing`.
"""
