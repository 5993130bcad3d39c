"""Prepares packages outside of every sandbox: resolves them, fetches their wheels, and unpacks these into a store.

It is the only process that reaches a package index. The executor mounts the store read-only, and the api asks over a
Unix socket. On a cluster, store and socket are those of a copy service in each unit's pod: the same program, which
copies the sets of the one packages service.
"""
