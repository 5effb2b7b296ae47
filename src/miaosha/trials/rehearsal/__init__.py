"""Rehearsals: real Socket.IO sessions by the ten thousand against real gateways, and what comes of
it. A client process (`__main__`) holds up to 19,000 sockets by bare epoll; `run` leads them.
"""
