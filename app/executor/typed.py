"""What PID 1 of a sandbox reads on its stdin, for what a visitor types."""

import struct

from app.wire.protocol import EndOfInput, Input, Resize

Typed = Input | EndOfInput | Resize
_RECORD = struct.Struct("=HHI")
"""As images/executor/init.c has it: columns and rows, 0 when they don't change, and the number of bytes that follow."""
_CTRL_D = b"\x04"


def encoded(command: Typed, *, terminal: bool) -> bytes | None:
    """The bytes to write, or None when stdin is to be closed. Without a terminal, `Resize` has none."""
    match command:
        case Resize():
            return _RECORD.pack(command.columns, command.rows, 0) if terminal else b""
        case Input():
            data = command.data.encode()
        case EndOfInput():
            if not terminal:
                return None
            data = _CTRL_D
    return _RECORD.pack(0, 0, len(data)) + data if terminal else data
