"""The descriptors between PID 1 and the process that will run the visitor's code."""

import os
import socket

_LAST_OF_OURS = 64
"""PID 1 opens a dozen descriptors; none above this."""


class Wires:
    """A pipe for each standard stream, and a socket by which the process says that it is ready and gets its job."""

    def __init__(self) -> None:
        self._visitor_stdin, self.stdin = os.pipe()
        self.stdout, self._visitor_stdout = os.pipe()
        self.stderr, self._visitor_stderr = os.pipe()
        self.job, self._visitor_job = socket.socketpair()

    def keep_own_side(self) -> None:
        """In PID 1, after the fork."""
        for descriptor in (self._visitor_stdin, self._visitor_stdout, self._visitor_stderr):
            os.close(descriptor)
        self._visitor_job.close()
        os.set_blocking(self.stdin, False)

    def take_visitors_side(self) -> int:
        """In the other process: its standard streams are the pipes, and no descriptor of PID 1's is left.

        Returns the descriptor of its end of the socket: always 3, and inherited by a program that it becomes.
        """
        os.dup2(self._visitor_stdin, 0)
        os.dup2(self._visitor_stdout, 1)
        os.dup2(self._visitor_stderr, 2)
        job = self._visitor_job.detach()
        self.job.detach()
        if job != 3:
            os.dup2(job, 3)
        os.set_inheritable(3, True)
        os.closerange(4, _LAST_OF_OURS)
        return 3


def read_job(descriptor: int) -> bytes:
    """Say that this process is ready, and wait for its job."""
    os.write(descriptor, b"R")
    pieces = []
    while piece := os.read(descriptor, 65536):
        pieces.append(piece)
    os.close(descriptor)
    return b"".join(pieces)
