"""Workers: the roles that listen nowhere: consumer, scheduler and mailer.

Each takes its work from the broker or does duties by itself. Every decision is in a use case; a
module here says how often, how much at once, and how it ends.

Reading order: `consumer`, `scheduler` (its `duties` are a table), `mailer`.
"""
