"""Programs whose end shows whether an interpreter is the plain one."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Program:
    """Code of an environment, or files of which the first is the main one. `signal` is the one that it ends by."""

    environment: str
    code: str | None = None
    files: tuple[tuple[str, str | bytes], ...] = ()
    stdin: str = ""
    results: bool = False
    signal: str | None = None


def _python(code: str, *, results: bool = False, stdin: str = "", signal: str | None = None) -> Program:
    return Program("python", code, stdin=stdin, results=results, signal=signal)


def _node(code: str, *, signal: str | None = None) -> Program:
    return Program("node", code, signal=signal)


def _bash(code: str, *, stdin: str = "", results: bool = False, signal: str | None = None) -> Program:
    return Program("bash", code, stdin=stdin, results=results, signal=signal)


_FILES: Mapping[str, Program] = {
    "files left open": _python(
        "def say(text): out.write(text)\nout = open('/tmp/results/a.txt', 'w')\nsay('kept')\n", results=True
    ),
    "a csv writer left open": _python(
        "import csv\ndef rows(): yield from ([1, 2], [3, 4])\n"
        "file = open('/tmp/results/out.csv', 'w', newline='')\nwriter = csv.writer(file)\nwriter.writerows(rows())\n",
        results=True,
    ),
    "stdout replaced by a tee": _python(
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
    "stdout opened by its number": _python(
        "out = open(1, 'w', closefd=False)\nout.write('by number\\n')\ndef hold(): return out\n"
    ),
    "stdout closed": _python("import sys\nprint('before')\nsys.stdout.close()\n"),
    "stdout's descriptor closed": _python("import os\nprint('before')\nos.close(1)\nprint('after')\n"),
    "own source": _python(
        "import os\nprint(open(__file__).read(), os.path.isfile(__file__))\n"
        "print([name for name in os.listdir('.') if name[0] != '.'])\n"
    ),
    "a file of one's own in results": Program(
        "python",
        files=(("main.py", "print(open('results/in.csv').read())\n"), ("results/in.csv", "1,2\n")),
        results=True,
    ),
}

_ENDS: Mapping[str, Program] = {
    "del": _python("class A:\n    def __del__(self): print('released')\na = A()\n"),
    "del of a registered object": _python(
        "import signal\nclass A:\n    def __del__(self): print('released')\ndef handler(*_): pass\n"
        "signal.signal(signal.SIGALRM, handler)\na = A()\n"
    ),
    "order of finalizers": _python(
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
    "weakref finalizer": _python("import weakref\nclass A: pass\na = A()\nweakref.finalize(a, print, 'gone')\n"),
    "atexit": _python("import atexit\natexit.register(print, 1)\natexit.register(print, 2)\nprint(0)\n"),
    "atexit that fails": _python("import atexit\natexit.register(lambda: 1 / 0)\nraise SystemExit(3)\n"),
    "threads at exit": _python(
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.2), print(1))).start()\nprint(0)\n"
    ),
    "a daemon thread": _python(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nprint('end')\n"
    ),
    "an exception in a thread": _python("import threading\nthreading.Thread(target=lambda: 1 / 0).start()\n"),
    **{
        f"exit: {code}": _python(f"import os, sys\n{code}\n")
        for code in (
            *("sys.exit()", "sys.exit(None)", "sys.exit(0)", "sys.exit(7)", "sys.exit(-1)", "sys.exit(256)"),
            *("sys.exit(2**70)", "sys.exit('why')", "sys.exit(3.5)", "sys.exit(True)", "sys.exit(())"),
            *("sys.exit((1, 2))", "exit(4)", "quit()", "raise SystemExit", "raise SystemExit(3)", "os._exit(9)"),
            *("raise SystemExit('a', 'b')", "e = SystemExit(); e.code = 'told'; raise e", "sys.exit(b'bytes')"),
            *("raise KeyError('x')", "raise BaseException('x')", "assert 0, 'why'"),
        )
    },
    "exit: a subclass": _python(
        "class Quit(SystemExit):\n    def __init__(self, why):\n        super().__init__()\n        self.code = why\n"
        "raise Quit('told')\n"
    ),
    "exit with 137": _python("raise SystemExit(137)"),
    **{
        f"signal {name}": _python(f"import os, signal\nprint(1)\nos.kill(os.getpid(), signal.{name})\n", signal=name)
        for name in ("SIGTERM", "SIGKILL", "SIGSEGV", "SIGABRT", "SIGHUP", "SIGUSR1")
    },
    "KeyboardInterrupt": _python("raise KeyboardInterrupt\n", signal="SIGINT"),
    "a handled signal": _python(
        "import os, signal\nsignal.signal(signal.SIGTERM, lambda *_: print('handled'))\nos.kill(os.getpid(), 15)\n"
    ),
    "signals that are ignored or blocked": _python(
        "print([line for line in open('/proc/self/status') if line.startswith(('SigBlk', 'SigIgn'))])\n"
        "import signal\nprint(signal.getsignal(signal.SIGPIPE), signal.getsignal(signal.SIGINT))\n"
    ),
}

_FRAMES: Mapping[str, Program] = {
    "recursion of 995": _python("def f(n):\n    return 0 if n == 0 else 1 + f(n - 1)\nprint(f(995))\n"),
    "recursion without end": _python("def f(n): return f(n + 1)\nf(0)\n"),
    "a traceback": _python("def divide():\n    return 1 / 0\n\ndivide()\n"),
    "a chain of exceptions": _python(
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('why') from error\n"
    ),
    "an exception group": _python("raise ExceptionGroup('both', [ValueError(1), TypeError(2)])\n"),
    "notes of an exception": _python("e = ValueError(1)\ne.add_note('a note')\nraise e\n"),
    "a name that is nearly right": _python("import sys\nprint(sys.argvv)\n"),
    "an import that is missing": _python("import no_such_module\n"),
    "a syntax error": _python("print('a'\n"),
    "an indentation error": _python("if 1:\nprint(1)\n"),
    "a tab error": _python("if 1:\n\tprint(1)\n        print(2)\n"),
    "stack": _python(
        """
import traceback, inspect, sys
def f():
    traceback.print_stack()
    print(len(inspect.stack()), inspect.stack()[-1].filename)
f()
try:
    print(sys._getframe(1).f_code.co_filename)
except ValueError as error:
    print('no frame above:', error)
print(inspect.currentframe().f_back)
"""
    ),
    "modules that name their caller": _python(
        """
import collections, enum, typing
P = collections.namedtuple('P', 'x'); print(P.__module__)
E = enum.Enum('E', 'A'); print(E.__module__)
T = typing.TypedDict('T', {'a': int}); print(T.__module__)
"""
    ),
    "inspect.getsource": _python("import inspect\ndef f():\n    return 1\nprint(inspect.getsource(f))\n"),
    "excepthook": _python(
        "import sys, traceback\n"
        "sys.excepthook = lambda kind, error, trace: print([f.filename for f in traceback.extract_tb(trace)])\n1 / 0\n"
    ),
    "unraisablehook": _python("class A:\n    def __del__(self): 1 / 0\na = A()\ndel a\nprint('on')\n"),
    "pdb": _python("x = 41\nbreakpoint()\nx += 1\nprint(x)\n", stdin="p x\nw\nn\nc\n"),
    "pdb after an exception": _python(
        "import pdb, sys\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    pdb.post_mortem()\n", stdin="w\nq\n"
    ),
    "faulthandler": _python("import faulthandler\nfaulthandler.dump_traceback()\n"),
    "faulthandler at a crash": _python(
        "import ctypes, faulthandler\nfaulthandler.enable()\ndef f(): ctypes.string_at(0)\nf()\n", signal="SIGSEGV"
    ),
    "logging": _python(
        "import logging\nlogging.basicConfig(format='%(filename)s %(lineno)d %(funcName)s %(message)s')\n"
        "def f(): logging.warning('deep', stacklevel=2)\nf()\nlogging.warning('more', stacklevel=9, stack_info=True)\n"
    ),
    "logging in order": _python(
        "import logging\nlogging.basicConfig(format='%(message)s')\n"
        "for n in range(8):\n    print('print', n)\n    logging.warning('log %d', n)\n"
    ),
    "logging left to its last resort": _python("import logging\nlogging.getLogger('a').error('seen')\n"),
    "warnings": _python(
        "import warnings\nwarnings.warn('mine')\nwarnings.warn('caller', DeprecationWarning, stacklevel=2)\n"
        "def f(): warnings.warn('of f', stacklevel=2)\nf()\n'a' is 'b'\n"
    ),
    "a warning of the compiler": _python("print('\\d')\n"),
    "tracemalloc and sys.settrace": _python(
        "import sys\nseen = []\nsys.settrace(lambda frame, event, arg: seen.append(frame.f_code.co_name))\n"
        "def f(): pass\nf()\nsys.settrace(None)\nprint(seen)\n"
    ),
}

_MODULES: Mapping[str, Program] = {
    "main": _python(
        "import sys\nprint(__name__, __file__, sys.argv[0], sys.path[0], __spec__, __package__, __doc__,\n"
        "      __builtins__, sys.modules['__main__'].__file__, sorted(globals()), sys.flags, sys.orig_argv,\n"
        "      sys.executable)\n"
    ),
    "modules that are loaded": _python("import sys\nprint(sorted(sys.modules))\n"),
    "the environment": _python("import os\nprint({k: v for k, v in os.environ.items() if k != 'HOSTNAME'})\n"),
    "descriptors, limits and the working folder": _python(
        "import os, sys\nprint(os.getcwd(), os.umask(0), sys.stdin.isatty(), sys.stdout.encoding,\n"
        "      sys.stdout.line_buffering, sys.stderr.errors, sys.getrecursionlimit(),\n"
        "      sorted(os.listdir('/proc/self/fd')))\n"
    ),
    "multiprocessing": _python(
        """
import multiprocessing
def square(number): return number * number
if __name__ == '__main__':
    for method in ('fork', 'spawn', 'forkserver'):
        with multiprocessing.get_context(method).Pool(2) as pool:
            print(method, pool.map(square, range(4)))
"""
    ),
    "locks, queues and shared memory": _python(
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
    "pools of threads and processes": _python(
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
    "runpy of itself": _python(
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
    "localhost": _python(
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
    "a child that runs the same file": _python(
        "import subprocess, sys\nif len(sys.argv) < 3:\n"
        "    print(subprocess.run([sys.executable, __file__, 'a', 'b'], capture_output=True, text=True).stdout)\n"
        "else:\n    print('child', sys.argv[-1])\n"
    ),
    "a terminal of one's own": _python("import pty\npty.spawn(['echo', 'in a terminal'])\n"),
    "input": _python("print(input('name? '))\ntry: input()\nexcept EOFError: print('end')\n", stdin="you\n"),
    "input by the number of stdin": _python("import os\nprint(os.read(0, 99), os.read(0, 99))\n", stdin="x\n"),
}

_SOURCES: Mapping[str, Program] = {
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
    }.items()
}

_NODE: Mapping[str, Program] = {
    f"node: {name}": program
    for name, program in {
        "main": _node(
            "console.log(__filename, require.main === module, process.argv.slice(0, 2), module.paths,"
            " process.execArgv.length, module.children.length, process.cwd())"
        ),
        "an error": _node("function fail() { throw new Error('why') }\nfail()"),
        "a syntax error": _node("console.log(1\n"),
        "something else thrown": _node("throw { code: 7 }"),
        "an unhandled rejection": _node("Promise.reject(new Error('why'))"),
        "a rejection with no error": _node("Promise.reject(7)"),
        "a rejection that is handled late": _node(
            "process.on('unhandledRejection', (why) => console.log('late', why)); Promise.reject(7)"
        ),
        "an uncaught exception": _node(
            "process.on('uncaughtException', (error) => console.log('caught', error.message)); throw new Error('why')"
        ),
        "exit": _node("process.on('exit', (code) => console.log('exit', code)); process.exitCode = 5"),
        "exit with output left": _node("for (let n = 0; n < 500; n++) console.log(n); process.exit(3)"),
        "a signal": _node("process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 9999)", signal="SIGTERM"),
        "worker threads": _node(
            "const { Worker, isMainThread, parentPort, threadId } = require('worker_threads');\n"
            "if (isMainThread) new Worker(__filename).on('message', (word) => console.log(word));\n"
            "else parentPort.postMessage('worker ' + threadId);"
        ),
        "a worker that fails": _node(
            "const { Worker, isMainThread } = require('worker_threads');\n"
            "if (isMainThread) new Worker(__filename).on('error', (error) => console.log(error.message));\n"
            "else throw new Error('why');"
        ),
        "a child": _node(
            "if (process.argv[2] === 'child') process.send('child');\n"
            "else require('child_process').fork(__filename, ['child']).on('message', (word) => console.log(word));"
        ),
        "http": _node(
            "const s = require('http').createServer((q, r) => r.end('pong')).listen(0, 'localhost', async () => {"
            " const r = await fetch('http://localhost:' + s.address().port); console.log(await r.text()); s.close() })"
        ),
        "own source": _node("console.log(require('fs').readFileSync(__filename, 'utf8').length)"),
        "clocks": _node("console.log(process.uptime() < 60, performance.now() < 60000)"),
        "a warning": _node("process.emitWarning('mine', { code: 'W1' })"),
        "stdin": Program("node", "console.log(require('fs').readFileSync(0, 'utf8'))", stdin="typed\n"),
        "a shebang": _node("#!/usr/bin/env node\nconsole.log(1)"),
        "beside": Program("node", files=(("main.js", "console.log(require('./a').b)"), ("a.js", "exports.b = 1"))),
    }.items()
}

_BASH: Mapping[str, Program] = {
    f"bash: {name}": program
    for name, program in {
        "main": _bash('echo "$0" $# $- "${BASH_SOURCE[0]}" $LINENO "$PWD" $SHLVL "$BASH_EXECUTION_STRING"; caller'),
        "LINENO": _bash("\n\necho $LINENO\nf() { echo $LINENO; }\nf\n"),
        "an error": _bash("\nnonesuch\n"),
        "a syntax error": _bash("echo 1\nif true; then\n"),
        "a quote that is open": _bash("echo 1\necho 'a\n"),
        "set -u": _bash("set -u\necho $nonesuch\necho after\n"),
        "set -e": _bash("set -e\nfalse\necho after\n"),
        "set -x": _bash("set -x\necho $((1 + 1))\n"),
        "a here-document": _bash("cat <<END\n$((1 + 1))\n\tx\nEND\ncat <<-'END'\n\t$x\n\tEND\ncat <<<word\n"),
        "a here-document without its end": _bash("cat <<END\nx\n"),
        "process substitution": _bash("diff <(echo a) <(echo b); tee >(cat >&2) <<<x >/dev/null; sleep 0.2\n"),
        "a pipe that is closed": _bash("yes | head -1; echo ${PIPESTATUS[@]}\n"),
        "the order of streams": _bash("for n in 0 1 2 3 4 5; do echo a$n; echo b$n >&2; done\n"),
        "stdin": _bash('read -r line; echo "$line"; cat\n', stdin="one\ntwo\n"),
        "stdin that a command reads": _bash("head -c 2; echo; cat\n", stdin="abcd\n"),
        "exit": _bash("trap 'echo bye' EXIT\nexit 7\n"),
        "exit with 137": _bash("exit 137\n"),
        "exit long before the end": _bash("exit 3\n" + "# a comment\n" * 4000),
        "a signal": _bash("kill -TERM $$\n", signal="SIGTERM"),
        "a killed child": _bash("bash -c 'kill -9 $$'; echo $?\n"),
        "the source of itself": _bash('[[ $again ]] && exit; again=1; source "$0"; echo never\n'),
        "a child of the same file": _bash('[[ $1 == x ]] && { echo child; exit; }; bash "$0" x\n'),
        "a long line": _bash("echo " + "x" * 9000 + "\n"),
        "CR LF": _bash("echo a\r\necho b\r\n"),
        "a NUL": Program("bash", files=(("main.sh", b"echo a\0b\n"),)),
        "jobs": _bash("sleep 0.1 & wait $!; echo $?; jobs\n"),
        "a program in /tmp": _bash("echo 'echo ran' >a.sh; chmod +x a.sh; bash a.sh\n"),
        "descriptors": _bash("ls /proc/$$/fd | wc -l; [[ -t 0 || -t 1 ]] || echo 'no terminal'\n"),
        "results": _bash("echo kept >results/a.txt\n", results=True),
    }.items()
}

PROGRAMS: Mapping[str, Program] = MappingProxyType(
    {
        **_FILES,
        **_ENDS,
        **_FRAMES,
        **_MODULES,
        **_SOURCES,
        **_NODE,
        **_BASH,
        "ruby": Program("ruby", "at_exit { puts 'end' }\np __FILE__, $0, ARGV.size, DATA.read\n__END__\ndata\n"),
        "ruby: an error": Program("ruby", "def f = raise('why')\nf\n"),
        "sql": Program("sqlite", "SELECT 1 AS one;\nSELECT nosuch;\n"),
    }
)
"""By what each is about."""
