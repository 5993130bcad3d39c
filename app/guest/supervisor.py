"""PID 1 of a sandbox.

It forks the process that will run the visitor's code, and is the only holder of the container's own streams, on which
it speaks frames with the executor. Its memory and descriptors are closed to the visitor's code, which runs as the same
user. When the code ends, nothing of it is left alive.
"""

# Rarely needed modules are imported where they are: see `guest`.
# ruff: noqa: PLC0415
import _signal  # type: ignore[import-not-found]  # `signal` without its enumerations
import os
import select
import sys

from .cgroup import Counters, read_counters
from .frames import (
    END_OF_INPUT,
    EXIT,
    FILE,
    INPUT,
    JOB,
    READY,
    REFUSED,
    RESULTS,
    SIGNAL,
    SOURCE,
    STDERR,
    STDOUT,
    Frames,
    frame,
    join,
    split,
)
from .wires import Wires

HOME = "/tmp"  # noqa: S108 - a path inside the sandbox
_FURNITURE = "/opt/home"
_CONTROL_IN, _CONTROL_OUT = 0, 1
_READ = 65536
_PR_SET_DUMPABLE = 4


def main() -> None:
    """`<runner> [options...]`: serve one job, then end. In the forked process it returns as the visitor's code does."""
    runner, *options = sys.argv[1:]
    wires = Wires()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        wires.take_visitors_side()
        _be_killed_first()
        _furnish_home()
        _run(runner, options)
        return
    wires.keep_own_side()
    _close_to_others()
    Supervisor(pid, wires).serve()


def _run(runner: str, options: list[str]) -> None:
    if runner == "python":
        from .python import run

        run(options)
    else:
        from .programs import run_node, run_program

        run_node(options) if runner == "node" else run_program([runner, *options])


def _be_killed_first() -> None:
    """When memory is short, the kernel takes the visitor's processes before PID 1."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    except OSError:
        pass


def _furnish_home() -> None:
    """Copy the folders that the image has made ahead for it, such as a cache that would take seconds to make again."""
    if os.path.isdir(_FURNITURE):
        import shutil

        for name in os.listdir(_FURNITURE):
            shutil.copytree(os.path.join(_FURNITURE, name), os.path.join(HOME, name))


def _close_to_others() -> None:
    """Close /proc/1 and ptrace to processes of the same user, and be deaf to their signals."""
    # What is under `ctypes`, which itself takes PID 1 longer to load than all else that it needs.
    import _ctypes

    prctl = _ctypes.dlsym(_ctypes.dlopen("libc.so.6", os.RTLD_NOW), "prctl")
    if _ctypes.call_function(prctl, (_PR_SET_DUMPABLE, 0, 0, 0, 0)) != 0:
        raise OSError("prctl(PR_SET_DUMPABLE) failed")
    # The kernel drops what PID 1 has no handler for.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


class Supervisor:
    """Serves the one job of the process `pid`."""

    def __init__(self, pid: int, wires: Wires) -> None:
        self._pid = pid
        self._wires = wires
        self._poll = select.poll()
        self._frames = Frames()
        self._input = bytearray()
        self._input_ended = False
        self._stdin_open = True
        self._outputs = {wires.stdout: STDOUT, wires.stderr: STDERR}
        self._status: int | None = None
        self._patterns: list[str] = []
        self._limits = (0, 0)
        self._before: Counters = {}

    def serve(self) -> None:
        """Say that it is ready, run the job that comes, and end with the sandbox."""
        if os.read(self._wires.ready, 1) != b"R":
            sys.exit(f"the interpreter has ended before it had a job: {_text(self._wires.stderr)}")
        woken = self._wake_on_children()
        _write(_CONTROL_OUT, frame(READY))
        for descriptor in (_CONTROL_IN, *self._outputs):
            self._poll.register(descriptor, select.POLLIN)
        while self._status is None:
            for descriptor, _ in self._poll.poll():
                if descriptor == _CONTROL_IN:
                    self._hear()
                elif descriptor == self._wires.stdin:
                    self._feed()
                elif descriptor == woken:
                    os.read(woken, _READ)
                    self._reap()
                elif descriptor in self._outputs:
                    self._relay(descriptor)
        self._finish()

    def _wake_on_children(self) -> int:
        """The descriptor that can be read when a child has ended."""
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        _signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        self._poll.register(woken, select.POLLIN)
        self._reap()
        return woken

    def _hear(self) -> None:
        data = os.read(_CONTROL_IN, _READ)
        if not data:
            sys.exit("the executor has hung up")
        for kind, payload in self._frames.feed(data):
            if kind == SOURCE:
                name, _, content = payload.partition(b"\0")
                _write_file(os.path.join(HOME, name.decode()), content)
            elif kind == RESULTS:
                self._give_back_later(payload)
            elif kind == JOB:
                self._begin(payload)
            elif kind == INPUT:
                self._input += payload
                self._feed()
            elif kind == END_OF_INPUT:
                self._input_ended = True
                self._feed()
            elif kind == SIGNAL:
                try:
                    os.killpg(self._pid, getattr(_signal, payload.decode()))
                except ProcessLookupError:
                    pass

    def _give_back_later(self, payload: bytes) -> None:
        from .results import FOLDER

        os.mkdir(FOLDER)
        most, most_bytes, *self._patterns = split(payload)
        self._limits = int(most), int(most_bytes)

    def _begin(self, payload: bytes) -> None:
        self._before = read_counters()
        _write(self._wires.job, os.path.join(HOME.encode(), payload))
        os.close(self._wires.job)

    def _feed(self) -> None:
        """Pass on what the visitor's process takes of its input. One that reads no more is no error."""
        if not self._stdin_open:
            return
        try:
            while self._input:
                del self._input[: os.write(self._wires.stdin, self._input)]
        except BlockingIOError:
            self._poll.register(self._wires.stdin, select.POLLOUT)
            return
        except BrokenPipeError:
            self._input_ended = True
        try:
            self._poll.unregister(self._wires.stdin)
        except KeyError:
            pass
        if self._input_ended:
            os.close(self._wires.stdin)
            self._stdin_open = False

    def _relay(self, descriptor: int) -> bool:
        """Pass on output. False when none will come any more."""
        data = os.read(descriptor, _READ)
        if data:
            _write(_CONTROL_OUT, frame(self._outputs[descriptor], data))
        else:
            self._poll.unregister(descriptor)
            del self._outputs[descriptor]
        return bool(data)

    def _reap(self) -> None:
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._pid:
                    self._status = status
        except ChildProcessError:
            pass

    def _finish(self) -> None:
        # Asked while what the code has left is alive. It has made room itself, by ending: hence two.
        refused = _refused(2) if self._before.get("pids_refused") is None else None
        _kill_all()
        for descriptor in list(self._outputs):
            while self._relay(descriptor):
                pass
        after = read_counters()
        if after["pids_refused"] is None:
            after["pids_refused"] = refused
        if self._patterns:
            self._give_back()
        assert self._status is not None  # noqa: S101 - `serve` waits for it
        code = os.waitstatus_to_exitcode(self._status)
        end = {
            "exit_code": code if code >= 0 else 128 - code,
            "signal": None if code >= 0 else _signal_name(-code),
            **after,
            "cpu_time": _since(self._before.get("cpu_time"), after["cpu_time"]),
        }
        known = [str(it) for figure in end.items() if figure[1] is not None for it in figure]
        _write(_CONTROL_OUT, frame(EXIT, join(*known)))
        # To take a container down is work, and the answer is still on its way: the executor hangs up when it has time.
        while os.read(_CONTROL_IN, _READ):
            pass
        os._exit(0)

    def _give_back(self) -> None:
        """Send the result files, and why others are not sent."""
        from .results import collect

        refused = []
        for name, found in collect(self._patterns, *self._limits):
            shown = os.fsencode(name).decode(errors="replace")
            if isinstance(found, str):
                refused += [shown, found]
            else:
                _write(_CONTROL_OUT, frame(FILE, shown.encode() + b"\0" + found))
        if refused:
            _write(_CONTROL_OUT, frame(REFUSED, join(*refused)))


def _since(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _signal_name(number: int) -> str:
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def _text(descriptor: int) -> str:
    """All that was written to a pipe whose writers are gone."""
    return b"".join(iter(lambda: os.read(descriptor, _READ), b"")).decode(errors="replace")


def _write_file(path: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb") as file:
        file.write(content)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _refused(processes: int) -> int:
    """Whether so many more can't be made, 1 or 0: what is left to ask of a kernel that doesn't count refusals."""
    for _ in range(processes):
        try:
            if os.fork() == 0:
                _signal.pause()
        except OSError:
            return 1
    return 0


def _kill_all() -> None:
    """End every other process of the sandbox, and wait until the last is gone."""
    try:
        os.kill(-1, _signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass
