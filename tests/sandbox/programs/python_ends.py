"""How Python ends: files left open, finalizers, exit codes, signals."""

from collections.abc import Mapping

from tests.sandbox.programs.program import Program, python

FILES: Mapping[str, Program] = {
    "files left open": python(
        "def say(text): out.write(text)\nout = open('/tmp/results/a.txt', 'w')\nsay('kept')\n", results=True
    ),
    "a csv writer left open": python(
        "import csv\ndef rows(): yield from ([1, 2], [3, 4])\n"
        "file = open('/tmp/results/out.csv', 'w', newline='')\nwriter = csv.writer(file)\nwriter.writerows(rows())\n",
        results=True,
    ),
    "stdout replaced by a tee": python(
        """
import sys
class Tee:
    def __init__(self, *streams): self.streams = streams
    def write(self, text):
        for stream in self.streams: stream.write(text)
    def flush(self): pass
sys.stdout = Tee(sys.stdout, open('/tmp/results/log.txt', 'w'))
print('both')
""",
        results=True,
    ),
    "stdout opened by its number": python(
        "out = open(1, 'w', closefd=False)\nout.write('by number\\n')\ndef hold(): return out\n"
    ),
    "stdout closed": python("import sys\nprint('before')\nsys.stdout.close()\n"),
    "stdout's descriptor closed": python("import os\nprint('before')\nos.close(1)\nprint('after')\n"),
    "own source": python(
        "import os\nprint(open(__file__).read(), os.path.isfile(__file__))\n"
        "print([name for name in os.listdir('.') if name[0] != '.'])\n"
    ),
    **{
        f"left open: {name}": python(f"{code}\ndef hold(): return out\n", results=True)
        for name, code in {
            "in a class": "class A:\n    out = open('/tmp/results/a', 'w')\nA.out.write('kept'); out = A",
            "in a generator": "def g():\n    with open('/tmp/results/a', 'w') as f:\n"
            "        f.write('kept'); yield\nout = g()\n"
            "next(out)",
            "in a thread's local": "import threading\nout = threading.local()\nout.f = open('/tmp/results/a', 'w')\n"
            "out.f.write('kept')",
            "in a cycle": "class A: pass\nout = A()\nout.me = out\nout.f = open('/tmp/results/a', 'w')\n"
            "out.f.write('kept')",
            "a raw buffer": "out = open('/tmp/results/a', 'wb')\nout.write(b'kept')",
            "appended": "open('/tmp/results/a', 'w').write('1')\nout = open('/tmp/results/a', 'a')\nout.write('2')",
            "a zip": "import zipfile\nout = zipfile.ZipFile('/tmp/results/a', 'w')\n"
            "out.writestr(zipfile.ZipInfo('b'), 'c')",
            "a log": "import logging\nlogging.basicConfig(filename='/tmp/results/a', format='%(message)s')\n"
            "out = logging.error('kept')",
            "a database": "import sqlite3\nout = sqlite3.connect('/tmp/results/a')\n"
            "out.execute('create table t(x)'); out.execute('insert into t values (1)')",
            "mapped": "import mmap\nf = open('/tmp/results/a', 'w+b'); f.truncate(4)\n"
            "out = mmap.mmap(f.fileno(), 4)\n"
            "out[:] = b'kept'",
            "by os._exit": "import os\nout = open('/tmp/results/a', 'w')\nout.write('lost')\nos._exit(0)",
            "by an exception": "out = open('/tmp/results/a', 'w')\nout.write('kept')\n1 / 0",
            "in a child": "import os\nout = open('/tmp/results/a', 'w')\nout.write('kept')\nif os.fork(): os.wait()",
        }.items()
    },
    "left open: by a signal": python(
        "import os\nout = open('/tmp/results/a', 'w')\nout.write('lost')\nos.kill(os.getpid(), 9)\n",
        results=True,
    ),
    "a file of one's own in results": Program(
        "python",
        files=(("main.py", "print(open('results/in.csv').read())\n"), ("results/in.csv", "1,2\n")),
        results=True,
    ),
}

ENDS: Mapping[str, Program] = {
    "del": python("class A:\n    def __del__(self): print('released')\na = A()\n"),
    "del of a registered object": python(
        "import signal\nclass A:\n    def __del__(self): print('released')\ndef handler(*_): pass\n"
        "signal.signal(signal.SIGALRM, handler)\na = A()\n"
    ),
    "order of finalizers": python(
        """
class A:
    def __init__(self, name): self.name = name
    def __del__(self): print('del', self.name)
a = A(1); b = A(2)
class K: c = A('class')
def g(x=A('default')): pass
import sys; sys.modules['extra'] = A('module')
import builtins; builtins.kept = A('builtin')
"""
    ),
    **{
        f"del: {name}": python(f"{code}\n")
        for name, code in {
            "fails": "class A:\n    def __del__(self): 1 / 0\na = A()",
            "in a cycle": "class A:\n    def __del__(self): print('gone')\na = A(); a.me = a",
            "lives on": "kept = []\nclass A:\n    def __del__(self): kept.append(self); print('again')\na = A(); del a",
            "uses a module": "import json\nclass A:\n    def __del__(self): print(json.dumps([1]))\na = A()",
            "exits": "class A:\n    def __del__(self): raise SystemExit(5)\na = A(); del a; print('on')",
            "after os._exit": "import os\nclass A:\n    def __del__(self): print('never')\na = A()\nos._exit(0)",
            "in a frame that failed": "class A:\n    def __del__(self): print('gone')\ndef f():\n"
            "    a = A(); 1 / 0\nf()",
            "imports": "class A:\n    def __del__(self):\n        import colorsys; print(colorsys.__name__)\na = A()",
            "of a generator": "def g():\n    try: yield\n    finally: print('closed')\nit = g(); next(it)",
            "of a coroutine": "async def f(): pass\nf()",
            "of a task": "import asyncio\nasync def f():\n    asyncio.create_task(asyncio.sleep(9))\nasyncio.run(f())",
        }.items()
    },
    **{
        f"atexit: {name}": python(f"import atexit, os, sys, threading\n{code}\n")
        for name, code in {
            "exits": "atexit.register(sys.exit, 3)\nprint(0)",
            "registers": "atexit.register(lambda: atexit.register(print, 'late'))",
            "unregistered": "atexit.register(print, 1); atexit.unregister(print)",
            "and threads": "atexit.register(print, 'last')\nthreading.Thread(target=print, args=('thread',)).start()",
            "in a child": "atexit.register(print, 'end', flush=True)\nif not os.fork(): sys.exit(0)\nos.wait()",
            "after an exception": "atexit.register(print, 'end')\n1 / 0",
            "starts a thread": "t = threading.Thread(target=print); atexit.register(lambda: t.start() or t.join())",
            "several fail": "atexit.register(lambda: 1 / 0); atexit.register(lambda: [][0])",
        }.items()
    },
    "weakref finalizer": python("import weakref\nclass A: pass\na = A()\nweakref.finalize(a, print, 'gone')\n"),
    "atexit": python("import atexit\natexit.register(print, 1)\natexit.register(print, 2)\nprint(0)\n"),
    "atexit that fails": python("import atexit\natexit.register(lambda: 1 / 0)\nraise SystemExit(3)\n"),
    "threads at exit": python(
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.2), print(1))).start()\nprint(0)\n"
    ),
    "a daemon thread": python(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nprint('end')\n"
    ),
    "an exception in a thread": python("import threading\nthreading.Thread(target=lambda: 1 / 0).start()\n"),
    # PID 1 reads the status of a process that is ending from /proc, where a program chooses its name, and which may be
    # closed to others.
    **{
        f"status: {name}": python(f"import ctypes, os, platform, threading, time\nlibc = ctypes.CDLL(None)\n{code}\n")
        for name, code in {
            "closed to others": "libc.prctl(4, 0); raise SystemExit(3)",
            "closed to others, by a signal": "libc.prctl(4, 0); os.kill(os.getpid(), 15)",
            "under a name like a status": "libc.prctl(15, b') Z 1 2 3 4'); raise SystemExit(4)",
            "under a name with a line's end": "libc.prctl(15, b'a\\n) 0 0\\n('); raise SystemExit(4)",
            "by the system call": "libc.syscall({'x86_64': 60, 'aarch64': 93}[platform.machine()], 5)",
            "of the last thread": "threading.Thread(target=lambda: (time.sleep(0.2), os._exit(6))).start()\n"
            "libc.syscall({'x86_64': 60, 'aarch64': 93}[platform.machine()], 0)",
            "of what a thread became": "shell = '/bin/sh', ['sh', '-c', 'exit 7']\n"
            "threading.Thread(target=os.execv, args=shell).start()\ntime.sleep(60)",
            "while threads run": "def busy():\n    while True: pass\n"
            "for _ in range(8): threading.Thread(target=busy, daemon=True).start()\nos._exit(8)",
            "while a child sleeps": "if os.fork() == 0: time.sleep(60)\nprint('end', flush=True); os._exit(9)",
            "killed by a child": "if os.fork() == 0: os.kill(os.getppid(), 9)\ntime.sleep(60)",
            "with much memory": "kept = bytearray(100 << 20); raise SystemExit(10)",
        }.items()
    },
    **{
        f"exit: {code}": python(f"import os, sys\n{code}\n")
        for code in (
            *("sys.exit()", "sys.exit(None)", "sys.exit(0)", "sys.exit(7)", "sys.exit(-1)", "sys.exit(256)"),
            *("sys.exit(2**70)", "sys.exit('why')", "sys.exit(3.5)", "sys.exit(True)", "sys.exit(())"),
            *("sys.exit((1, 2))", "exit(4)", "quit()", "raise SystemExit", "raise SystemExit(3)", "os._exit(9)"),
            *("raise SystemExit('a', 'b')", "e = SystemExit(); e.code = 'told'; raise e", "sys.exit(b'bytes')"),
            *(
                "sys.exit('')",
                "sys.exit('\\udc80')",
                "sys.exit([])",
                "sys.exit(-2**70)",
                "sys.exit(False)",
                "exit('why')",
            ),
            *("print(sys.exit)", "sys.stdout = None; sys.exit(2)", "sys.stderr = None; sys.exit('unseen')"),
            *("sys.excepthook = None; 1 / 0", "del sys.excepthook; 1 / 0", "sys.stderr.close(); 1 / 0"),
            *("try: sys.exit(3)\nfinally: print('end')", "try: sys.exit(3)\nexcept SystemExit as e: print(repr(e))"),
            *(
                "try: sys.exit(3)\nexcept BaseException: raise SystemExit(4)",
                "def f():\n  try: sys.exit(3)\n  finally: return\nf()",
            ),
            *("import threading\nthreading.Thread(target=sys.exit, args=(3,)).start()", "os.abort()"),
            *(
                "import asyncio\nasync def f(): sys.exit(3)\nasyncio.run(f())",
                "import _thread\n_thread.interrupt_main()",
            ),
            *(
                "if not os.fork(): sys.exit(7)\nprint(os.waitstatus_to_exitcode(os.wait()[1]))",
                "os.execvp('false', ['false'])",
            ),
            *("raise KeyError('x')", "raise BaseException('x')", "assert 0, 'why'"),
        )
    },
    "exit: a subclass": python(
        "class Quit(SystemExit):\n    def __init__(self, why):\n        super().__init__()\n        self.code = why\n"
        "raise Quit('told')\n"
    ),
    "exit with 137": python("raise SystemExit(137)"),
    **{
        f"signal {name}": python(f"import os, signal\nprint(1)\nos.kill(os.getpid(), signal.{name})\n")
        for name in ("SIGTERM", "SIGKILL", "SIGSEGV", "SIGABRT", "SIGHUP", "SIGUSR1", "SIGINT", "SIGALRM", "SIGRTMIN")
    },
    "signals that Python ignores": python(
        "import os, signal\nos.kill(os.getpid(), signal.SIGPIPE); os.kill(os.getpid(), signal.SIGXFSZ)\nprint('on')\n"
    ),
    "KeyboardInterrupt": python("raise KeyboardInterrupt\n"),
    "a handled signal": python(
        "import os, signal\nsignal.signal(signal.SIGTERM, lambda *_: print('handled'))\nos.kill(os.getpid(), 15)\n"
    ),
    "signals that are ignored or blocked": python(
        "print([line for line in open('/proc/self/status') if line.startswith(('SigBlk', 'SigIgn'))])\n"
        "import signal\nprint(signal.getsignal(signal.SIGPIPE), signal.getsignal(signal.SIGINT))\n"
    ),
}
