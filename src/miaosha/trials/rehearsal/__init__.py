"""Rehearsals: real Socket.IO sessions by the ten thousand against real gateways, counted.

A client process (`__main__`) holds up to 19,000 sockets by bare epoll. The leader starts as many as
are needed, tells them what to do, and sums up what they say.

Reading order: `leader`, `steps`, `outcome`; then the client: `client_protocol`, `client_processes`,
`client_sockets`, `client_wire`, `connect_schedule`; `private_gateways` is what they meet.
"""
