"""RabbitMQ broker: for each sale a quorum queue, and a stream as its log.

`RabbitBroker` is the port; the other modules have one duty of it each. Every connection is ours and
is made again when it is lost. Decision 11 says why a sale has one consumer and what a barrier is.

Reading order: `topology`, `link`, `broker`, `quorum_reader`, `stream_log`, `pressure`, `reminders`,
`parked`. `examine` reads the same server by code of its own. `auditing` shares the connection and
the barriers with the roles, and the end mark and the queue's names; it parses batches by itself.
"""
