"""The command line: `miaosha`, one file for each noun, gathered in `main`.

A command reads its options, opens what the api role has, calls the same use cases, and prints by
`serving/screen`. Nothing heavy is imported before a command runs, so --help is quick.

Reading order: `main`, `command`, `sale`; `up` and `demo` for what starts a platform.
"""
