"""Connects a port of this machine's loopback to a node's: `python -m offline.kubernetes.forward ADDRESS PORT...`."""

import asyncio
import contextlib
import sys
from functools import partial

_CHUNK = 65536


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source.read(_CHUNK):
            sink.write(chunk)
            await sink.drain()
        sink.write_eof()


async def _serve(
    address: str, port: int, client_reads: asyncio.StreamReader, client_writes: asyncio.StreamWriter
) -> None:
    try:
        node_reads, node_writes = await asyncio.open_connection(address, port)
    except OSError:
        client_writes.close()
        return
    try:
        await asyncio.gather(_copy(client_reads, node_writes), _copy(node_reads, client_writes))
    finally:
        node_writes.close()
        client_writes.close()


async def forward(address: str, ports: list[int]) -> None:
    """Pass on every connection to these ports of 127.0.0.1. Never returns; raises OSError when a port is taken."""
    servers = [await asyncio.start_server(partial(_serve, address, port), "127.0.0.1", port) for port in ports]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(forward(sys.argv[1], [int(port) for port in sys.argv[2:]]))
