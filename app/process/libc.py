"""The C library, for system calls that Python's own modules lack."""

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)


def checked(result: int, name: str) -> int:
    """The result of a call, or OSError with the call's errno when it is negative. `name` is what the call was about."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result
