"""Runs attacks that are written in Python in every environment: `armed` adds a Python to those that have none."""

import contextlib
import io
import json
import os
from collections.abc import Iterable, Iterator

import docker
from docker.errors import APIError

from app.environments import ENVIRONMENTS
from tests.sandbox import executor

_ARMING = """
FROM {image}
WORKDIR /environments
RUN for environment in {environments}; do cp --archive --link --no-clobber python/usr "$environment"; done
WORKDIR /srv
"""
"""All environments are of the same Debian, so that the files of one run in another. No existing file is changed."""


@contextlib.contextmanager
def armed(client: docker.DockerClient, environments: Iterable[str]) -> Iterator[str]:
    """The executor's image, or one like it, made for the moment, in which each of the environments has a Python."""
    image = os.environ[executor.IMAGE]
    without = [name for name in environments if ENVIRONMENTS[name].language != "python"]
    if not without:
        yield image
        return
    recipe = _ARMING.format(image=image, environments=" ".join(without))
    made = str(client.images.build(fileobj=io.BytesIO(recipe.encode()), rm=True)[0].id)
    try:
        yield made
    finally:
        with contextlib.suppress(APIError):  # another run uses it too
            client.images.remove(made)


def shelled(environment: str, command: str) -> str:
    """Code for `environment` that runs a shell command and exits with its exit code. For SQL, the command is simple:
    one line without quotes, and the exit code is the environment's own."""
    match ENVIRONMENTS[environment].language:
        case "python":
            return f"import os\nos._exit(os.waitstatus_to_exitcode(os.system({command!r})))"
        case "javascript":
            return (
                f'const ended = require("child_process").spawnSync("sh", ["-c", {json.dumps(command)}], '
                '{ stdio: "inherit" });\n'
                "process.exit(ended.status ?? 1);\n"
            )
        case "ruby":
            return f"system({json.dumps(command)})\nexit $?.exitstatus\n"
        case "sql":
            return f".shell {command}\n"
        case _:
            return command


def carried(environment: str, attack: str) -> str:
    """Code for `environment` that runs `attack` and exits with its exit code. No line of the attack may be `ATTACK`."""
    match ENVIRONMENTS[environment].language:
        case "python":
            return attack
        case "sql":
            return shelled(environment, f"""python3 -u -c "'exec(bytes.fromhex(\\"{attack.encode().hex()}\\"))'\"""")
        case _:
            return shelled(environment, f"exec python3 -u - <<'ATTACK'\n{attack}\nATTACK\n")


CALLS = """
import ctypes, errno, json, mmap, os, signal, struct
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def call(number, *arguments):
    "The result of a system call, or the name of its error."
    ctypes.set_errno(0)
    passed = [ctypes.c_long(part) if isinstance(part, int) else part for part in arguments]
    result = libc.syscall(ctypes.c_long(number), *passed)
    return errno.errorcode[ctypes.get_errno()] if result == -1 else result

def apart(attempt):
    "The result of an attempt in a child process, or how the child ended without one."
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, json.dumps(attempt()).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status): return signal.Signals(os.WTERMSIG(status)).name
    return json.loads(said) if said else f"exit {os.waitstatus_to_exitcode(status)}"

def call_i386(number, *arguments):
    "A 32-bit system call (int 0x80) with up to three arguments."
    b, c, d = (*arguments, 0, 0, 0)[:3]
    code = b"\\x53\\xb8" + struct.pack("<I", number)            # push rbx; mov eax, number
    code += b"\\xbb" + struct.pack("<I", b) + b"\\xb9" + struct.pack("<I", c) + b"\\xba" + struct.pack("<I", d)
    code += b"\\xcd\\x80\\x5b\\xc3"                             # int 0x80; pop rbx; ret
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    return errno.errorcode[-result] if result < 0 else result

def opened(attempt):
    "done, or the name of the error that the attempt raised."
    try:
        attempt()
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]
"""
"""Helpers at the head of an attack: system calls on amd64, 64-bit or 32-bit, also in a child process."""
