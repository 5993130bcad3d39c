"""A transport on which the head of an answer leaves together with its body."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class JoinedWrites:
    """Holds what is written until the next write, or the end of this turn of the event loop, and writes both at once.

    uvicorn writes the head of an answer and its body apart, and uvloop writes at once. So the head alone would wake the
    reader, which on a busy host then takes the processor from the writer.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """See asyncio.WriteTransport."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.writelines([held, data])
        else:
            self._held = data
            asyncio.get_running_loop().call_soon(self._release)

    def write_eof(self) -> None:
        """See asyncio.WriteTransport."""
        self._release()
        self._transport.write_eof()

    def close(self) -> None:
        """See asyncio.BaseTransport."""
        self._release()
        self._transport.close()

    def _release(self) -> None:
        held, self._held = self._held, b""
        if held and not self._transport.is_closing():
            self._transport.write(held)


class JoinedHttp(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 over such a transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """See asyncio."""
        super().connection_made(JoinedWrites(transport))  # type: ignore[arg-type]  # it has all that uvicorn calls
