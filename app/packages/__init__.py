"""Prepares packages outside of every sandbox: resolves them, fetches their wheels, and unpacks these into a store.

It is the only process that reaches a package index. The executor mounts the store read-only, and the api asks over a
Unix socket.
"""
