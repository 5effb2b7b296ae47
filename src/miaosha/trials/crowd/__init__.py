"""Synthetic buyers as a process of their own: real HTTP and real Socket.IO through the edge.

Shares no code with what it exercises; it knows the public contract alone.
"""
