"""Sockets: a Socket.IO v5 server for very many clients, which knows nothing of sales.

Reading order: `application` (what a program puts on top), `session`, `server`; then a socket's
life: `arrival`, `handshake`, `websocket_session`, `polling_session`, `engine_session`, `closing`;
then the bytes: `frames`, `engine_packets`, `packets`. README.md says how to embed it.

Of the project it imports `domain.errors` (the codes of error responses, and SettingsError) and, of
`serving`, only modules that stand on nothing but `domain.errors`. import-linter holds this.
"""
