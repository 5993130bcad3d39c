"""The descriptors between PID 1 and the process that will run the visitor's code."""

import os

from .frames import split

JOB, READY = 3, 4
"""In that process, and in the program that it may become: where its job comes from, and where it says it is ready."""
_LAST_OF_OURS = 64
"""PID 1 opens a dozen descriptors; none above this."""


class Wires:
    """A pipe for each standard stream, for the job, and for the word that the process is ready for it."""

    def __init__(self) -> None:
        self._visitor_stdin, self.stdin = os.pipe()
        self.stdout, self._visitor_stdout = os.pipe()
        self.stderr, self._visitor_stderr = os.pipe()
        self._visitor_job, self.job = os.pipe()
        self.ready, self._visitor_ready = os.pipe()
        self._visitors = (
            self._visitor_stdin,
            self._visitor_stdout,
            self._visitor_stderr,
            self._visitor_job,
            self._visitor_ready,
        )

    def keep_own_side(self) -> None:
        """In PID 1, after the fork."""
        for descriptor in self._visitors:
            os.close(descriptor)
        os.set_blocking(self.stdin, False)

    def take_visitors_side(self) -> None:
        """In the other process: these are its first descriptors, and no other of PID 1's is left."""
        # Out of the way first: one of them may have the number that another is to get.
        away = [os.dup(descriptor) for descriptor in self._visitors]
        for number, descriptor in enumerate(away):
            os.dup2(descriptor, number)
        os.closerange(len(away), _LAST_OF_OURS)


def say_ready() -> None:
    """Say that this process can be given its job."""
    os.write(READY, b"R")
    os.close(READY)


def read_job() -> list[str]:
    """Wait for the job: the path of the main file, and the arguments."""
    pieces = []
    while piece := os.read(JOB, 65536):
        pieces.append(piece)
    os.close(JOB)
    return split(b"".join(pieces))
