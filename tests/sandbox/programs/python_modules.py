"""Python's modules, processes, input, and the encodings of its sources."""

import io
import zipfile
from collections.abc import Mapping

from tests.sandbox.programs.program import Program, python

MODULES: Mapping[str, Program] = {
    "main": python(
        "import sys\nprint(__name__, __file__, sys.argv[0], sys.path[0], __spec__, __package__, __doc__,\n"
        "      __builtins__, sys.modules['__main__'].__file__, sorted(globals()), sys.flags, sys.orig_argv,\n"
        "      sys.executable)\n"
    ),
    "modules that are loaded": python("import sys\nprint(sorted(sys.modules))\n"),
    "the environment": python("import os\nprint(sorted((k, v) for k, v in os.environ.items() if k != 'HOSTNAME'))\n"),
    "descriptors, limits and the working folder": python(
        "import os, sys\nprint(os.getcwd(), os.umask(0), sys.stdin.isatty(), sys.stdout.encoding,\n"
        "      sys.stdout.line_buffering, sys.stderr.errors, sys.getrecursionlimit(),\n"
        "      sorted(os.listdir('/proc/self/fd')))\n"
    ),
    "multiprocessing": python(
        """
import multiprocessing
def square(number): return number * number
if __name__ == '__main__':
    for method in ('fork', 'spawn', 'forkserver'):
        with multiprocessing.get_context(method).Pool(2) as pool:
            print(method, pool.map(square, range(4)))
"""
    ),
    "locks, queues and shared memory": python(
        """
from multiprocessing import Array, Event, Lock, Process, Queue, Value
from multiprocessing.shared_memory import SharedMemory
def work(queue, value, lock):
    with lock: value.value += 1
    queue.put('from a child')
if __name__ == '__main__':
    queue, value, lock = Queue(), Value('i', 41), Lock()
    child = Process(target=work, args=(queue, value, lock)); child.start()
    print(queue.get(), child.join(), value.value, Array('d', 3)[:], Event().is_set())
    shared = SharedMemory(create=True, size=100_000)
    shared.buf[0] = 7
    again = SharedMemory(shared.name); print(again.buf[0])
    again.close(); shared.close(); shared.unlink()
"""
    ),
    "pools of threads and processes": python(
        """
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
if __name__ == '__main__':
    for kind in (ThreadPoolExecutor, ProcessPoolExecutor):
        with kind(3) as pool: print(list(pool.map(str, range(4))))
    print(ThreadPool(2).map(str, range(3)))
"""
    ),
    "runpy": Program(
        "python",
        files=(
            ("main.py", "import runpy\nprint(runpy.run_path('other.py')['x'], runpy.run_module('other')['x'])\n"),
            ("other.py", "x = __name__\n"),
        ),
    ),
    "runpy of itself": python(
        "import runpy, sys\nif 'again' not in sys.argv:\n    sys.argv.append('again')\n    runpy.run_path(__file__)\n"
        "print(__name__)\n"
    ),
    **{
        f"a module called {name}": Program(
            "python",
            files=(
                ("main.py", f"import {name}\nprint({name}.word, {name}.__file__)\n"),
                (f"{name}.py", "word = 'mine'\n"),
            ),
        )
        for name in ("guest", "app", "supervisor", "traceback", "json", "sitecustomize", "init", "__main__")
    },
    "a package beside the main file": Program(
        "python",
        files=(("main.py", "from pkg.part import word\nprint(word)"), ("pkg/part.py", "word = __name__")),
    ),
    "localhost": python(
        """
import asyncio, socket
print(sorted({found[4][0] for found in socket.getaddrinfo('localhost', 80)}), socket.gethostname())
async def serve(reader, writer):
    writer.write(await reader.readline()); writer.close()
async def main():
    server = await asyncio.start_server(serve, 'localhost', 0)
    reader, writer = await asyncio.open_connection('localhost', server.sockets[0].getsockname()[1])
    writer.write(b'echo\\n'); print(await reader.readline()); server.close()
asyncio.run(main())
"""
    ),
    "a child that runs the same file": python(
        "import subprocess, sys\nif len(sys.argv) < 3:\n"
        "    print(subprocess.run([sys.executable, __file__, 'a', 'b'], capture_output=True, text=True).stdout)\n"
        "else:\n    print('child', sys.argv[-1])\n"
    ),
    "a terminal of one's own": python("import pty\npty.spawn(['echo', 'in a terminal'])\n"),
    "input": python("print(input('name? '))\ntry: input()\nexcept EOFError: print('end')\n", stdin="you\n"),
    "input by the number of stdin": python("import os\nprint(os.read(0, 99), os.read(0, 99))\n", stdin="x\n"),
    **{
        f"processes: {name}": python(f"{code}\n")
        for name, code in {
            "spawned without a guard": "import multiprocessing as m\nm.set_start_method('spawn')\n"
            "p = m.Process(target=print); p.start(); p.join(); print(p.exitcode)",
            "an error in a pool": "from multiprocessing import Pool\ndef f(n): return 1 / n\n"
            "if __name__ == '__main__':\n    with Pool(2) as pool: print(pool.map(f, [1, 0]))",
            "exit codes": "import multiprocessing as m, os, signal\ndef f(): os.kill(os.getpid(), signal.SIGKILL)\n"
            "if __name__ == '__main__':\n    p = m.Process(target=f); p.start(); p.join(); print(p.exitcode)",
            "a manager": "from multiprocessing import Manager\nif __name__ == '__main__':\n"
            "    with Manager() as m: d = m.dict(a=1); print(dict(d), list(m.list([1])))",
            "a pipe": "from multiprocessing import Pipe, Process\ndef f(end): end.send(__name__)\n"
            "if __name__ == '__main__':\n"
            "    a, b = Pipe(); p = Process(target=f, args=(b,)); p.start(); print(a.recv()); p.join()",
            "names": "import multiprocessing as m\nprint(m.current_process().name, m.parent_process(), "
            "m.active_children())\n"
            "print(m.get_start_method())",
            "a class of main, pickled": "import pickle\nclass A: pass\n"
            "print(pickle.loads(pickle.dumps(A())).__module__)",
            "a semaphore and a barrier": "from multiprocessing import Barrier, BoundedSemaphore, Condition, RLock\n"
            "print([type(make()).__name__ for make in (BoundedSemaphore, Condition, RLock, lambda: Barrier(1))])",
            "fork with output left": "import os, sys\nsys.stdout = os.fdopen(1, 'w')\nprint('twice')\n"
            "if os.fork(): os.wait()",
            "a shell": "import subprocess\nprint(subprocess.run('echo $0 $PPID | cut -c1-2; exit 3', "
            "shell=True).returncode)",
            "a pipeline": "import subprocess\nprint(subprocess.check_output('yes | head -2', shell=True))",
            "asyncio's": "import asyncio\nasync def f():\n    p = await asyncio.create_subprocess_exec('echo', 'x')\n"
            "    print(await p.wait())\nasyncio.run(f())",
            "its own": "import os\nprint(os.getsid(0) == os.getpgid(0) == os.getpid(), os.getpriority(0, 0))",
        }.items()
    },
    "runpy of a package": Program(
        "python",
        files=(
            ("main.py", "import runpy\nrunpy.run_module('pkg', run_name='__main__', alter_sys=True)\n"),
            ("pkg/__main__.py", "import sys\nprint(__name__, __package__, sys.argv)\n"),
        ),
    ),
    "runpy of a module that is missing": python("import runpy\nrunpy.run_module('none')\n"),
    "a module that fails": Program("python", files=(("main.py", "import other\n"), ("other.py", "\n1 / 0\n"))),
    "a module that does not compile": Program("python", files=(("main.py", "import other\n"), ("other.py", "a b\n"))),
    "a module in Latin-1": Program(
        "python",
        files=(("main.py", "import other\nprint(other.x)\n"), ("other.py", b"# coding: latin-1\nx = '\xe9'\n")),
    ),
    "a module that is undecodable": Program(
        "python", files=(("main.py", "import other\n"), ("other.py", b"x = '\xe9'\n"))
    ),
    "modules that import each other": Program(
        "python",
        files=(("main.py", "import a\n"), ("a.py", "import b\nx = 1\n"), ("b.py", "from a import x\n")),
    ),
    "main imported again": python("x = __name__\nimport main\nprint(x, main.x, main.__file__)\n"),
    "importlib.reload": Program(
        "python",
        files=(("main.py", "import importlib, a\nprint(importlib.reload(a) is a)\n"), ("a.py", "print(__name__)\n")),
    ),
    "a user's packages": Program(
        "python",
        files=(
            ("main.py", "import mine\nprint(mine.__file__)\n"),
            (".local/lib/python3.13/site-packages/mine.py", ""),
            (".local/lib/python3.13/site-packages/usercustomize.py", "print('customized')\n"),
        ),
    ),
    "names of files": Program(
        "python",
        files=(
            ("main.py", "import os\nprint(sorted(f for _, _, files in os.walk('.') for f in files if f[0] != '.'))\n"),
            *(
                (name, "x")
                for name in ("main.py.new", "-c", "a b", "é", "*", "results.txt", "init", "fd/3", "dev/null")
            ),
        ),
    ),
    "input with no end of line": python("import sys\nprint(list(sys.stdin), sys.stdin.read())\n", stdin="a\nb"),
    "input that is not UTF-8": python("import sys\nprint(ascii(sys.stdin.read()))\n", stdin="\x80\u20ac"),
    "input by fileinput": python("import fileinput\nprint(list(fileinput.input()))\n", stdin="a\nb\n"),
    "input of a child": python("import subprocess\nsubprocess.run(['cat'])\nprint(input())\n", stdin="all\n"),
    "output without flush": python("import sys, time\nsys.stdout.write('a'); sys.stderr.write('b'); time.sleep(0.1)\n"),
    "output in bytes": python("import sys\nsys.stdout.buffer.write(b'\\xff\\xfe\\n'); print('x')\n"),
    "output that can't be encoded": python("print('\\udc80')\n"),
}


def _archive() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("__main__.py", "print(__file__, __name__)")
    return packed.getvalue()


SOURCES: Mapping[str, Program] = {
    name: Program("python", files=(("main.py", source),))
    for name, source in {
        "source with a NUL": b"print('a\0b')\n",
        "source that is not UTF-8": b"print(1)\nprint('\xe9')\n",
        "source with a BOM": b"\xef\xbb\xbfprint('\xc3\xa9')\n",
        "source with CR LF": b"print(1)\r\nprint('''a\r\nb''')\r\n",
        "source with CR": b"print(1)\rprint(2)\r",
        "source without a last line end": b"print(1)",
        "source in Latin-1": b"# coding: latin-1\nprint('\xe9')\n",
        "source in utf8": b"# -*- coding: utf8 -*-\nprint('\xc3\xa9')\n",
        "source in UTF-8": b"# -*- coding: utf-8 -*-\nprint('\xc3\xa9')\n",
        "source in Windows's encoding": b"#!/usr/bin/python3\n# vim: set fileencoding=cp1252 :\nprint('\x80')\n",
        "source in an encoding that is unknown": b"# coding: nonsense\nprint(1)\n",
        "source in two encodings": b"\xef\xbb\xbf# coding: latin-1\nprint(1)\n",
        "an error after 60 KB": b"# " + b"x" * 60_000 + b"\n1 / 0\n",
        "an error in Latin-1": b"# coding: latin-1\nraise ValueError('\xe9')  # \xe9\n",
        "source in UTF-16": "print(1)\n".encode("utf-16"),
        "source in UTF-7": b"# coding: utf-7\nprint('+AOk-')\n",
        "source with an encoding in the second line": b"#!/bin/x\n# coding: latin-1\nprint('\xe9')\n",
        "source with an encoding in the third line": b"\n\n# coding: latin-1\nprint('\xe9')\n",
        "source that is not UTF-8 in a comment": b"print(1)  # \xe9\n",
        "source that is cut in a character": b"print('a')\n# \xe5\xa4",
        "source with a form feed": b"\x0cprint(1)\n\x0cprint(2)\n",
        "source of nothing but a comment": b"# nothing",
        "source with long lines": b"x = '" + b"y" * 20_000 + b"'\nprint(len(x))\n",
        "source in the rot13 codec": b"# coding: rot13\ncevag(1)\n",
        "source that is an archive": _archive(),
    }.items()
}
