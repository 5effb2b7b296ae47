"""Crowd: synthetic buyers in a process of their own; real HTTP and Socket.IO through the edge.

It shares no code with what it exercises; it knows the public contract alone.

Reading order: `crowd_plan`, `behaviour` (what each kind of buyer does), `buyer`, `http_client`,
`socketio_client`; `crowd_processes` is the crowd as its parent sees it.
"""
