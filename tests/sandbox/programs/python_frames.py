"""What Python tells of itself: frames, tracebacks, debuggers, logs, warnings."""

from collections.abc import Mapping

from tests.sandbox.programs.program import Program, python

FRAMES: Mapping[str, Program] = {
    "recursion of 995": python("def f(n):\n    return 0 if n == 0 else 1 + f(n - 1)\nprint(f(995))\n"),
    "recursion without end": python("def f(n): return f(n + 1)\nf(0)\n"),
    "a traceback": python("def divide():\n    return 1 / 0\n\ndivide()\n"),
    "a chain of exceptions": python(
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('why') from error\n"
    ),
    "an exception group": python("raise ExceptionGroup('both', [ValueError(1), TypeError(2)])\n"),
    "notes of an exception": python("e = ValueError(1)\ne.add_note('a note')\nraise e\n"),
    "a name that is nearly right": python("import sys\nprint(sys.argvv)\n"),
    "an import that is missing": python("import no_such_module\n"),
    "a syntax error": python("print('a'\n"),
    "an indentation error": python("if 1:\nprint(1)\n"),
    "a tab error": python("if 1:\n\tprint(1)\n        print(2)\n"),
    "stack": python(
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
    "modules that name their caller": python(
        """
import collections, enum, typing
P = collections.namedtuple('P', 'x'); print(P.__module__)
E = enum.Enum('E', 'A'); print(E.__module__)
T = typing.TypedDict('T', {'a': int}); print(T.__module__)
"""
    ),
    "inspect.getsource": python("import inspect\ndef f():\n    return 1\nprint(inspect.getsource(f))\n"),
    "excepthook": python(
        "import sys, traceback\n"
        "sys.excepthook = lambda kind, error, trace: print([f.filename for f in traceback.extract_tb(trace)])\n"
        "1 / 0\n"
    ),
    "unraisablehook": python("class A:\n    def __del__(self): 1 / 0\na = A()\ndel a\nprint('on')\n"),
    "pdb": python("x = 41\nbreakpoint()\nx += 1\nprint(x)\n", stdin="p x\nw\nn\nc\n"),
    "pdb after an exception": python(
        "import pdb, sys\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    pdb.post_mortem()\n", stdin="w\nq\n"
    ),
    "faulthandler": python("import faulthandler\nfaulthandler.dump_traceback()\n"),
    "faulthandler at a crash": python(
        "import ctypes, faulthandler\nfaulthandler.enable()\ndef f(): ctypes.string_at(0)\nf()\n"
    ),
    "logging": python(
        "import logging\nlogging.basicConfig(format='%(filename)s %(lineno)d %(funcName)s %(message)s')\n"
        "def f(): logging.warning('deep', stacklevel=2)\nf()\n"
        "logging.warning('more', stacklevel=9, stack_info=True)\n"
    ),
    "logging in order": python(
        "import logging\nlogging.basicConfig(format='%(message)s')\n"
        "for n in range(8):\n    print('print', n)\n    logging.warning('log %d', n)\n"
    ),
    "logging left to its last resort": python("import logging\nlogging.getLogger('a').error('seen')\n"),
    "warnings": python(
        "import warnings\nwarnings.warn('mine')\nwarnings.warn('caller', DeprecationWarning, stacklevel=2)\n"
        "def f(): warnings.warn('of f', stacklevel=2)\nf()\n'a' is 'b'\n"
    ),
    "a warning of the compiler": python("print('\\d')\n"),
    "tracemalloc and sys.settrace": python(
        "import sys\nseen = []\nsys.settrace(lambda frame, event, arg: seen.append(frame.f_code.co_name))\n"
        "def f(): pass\nf()\nsys.settrace(None)\nprint(seen)\n"
    ),
    **{
        f"recursion: {name}": python(f"{code}\n")
        for name, code in {
            "as deep as it goes": "import sys\ndef f(n):\n    try: return f(n + 1)\n"
            "    except RecursionError: return n\n"
            "print(f(0), sys.getrecursionlimit())",
            "with a limit of 5000": "import sys\nsys.setrecursionlimit(5000)\ndef f(n): return n and f(n - 1)\n"
            "print(f(4990))",
            "with a limit that is too low": "import sys\nsys.setrecursionlimit(1)",
            "of a repr": "a = []\nfor _ in range(2000): a = [a]\nrepr(a)",
            "of a literal": "eval('(' * 300 + ')' * 300)",
            "of a property": "class A:\n    @property\n    def x(self): return self.x\nA().x",
            "of two": "def f(n): return g(n)\ndef g(n): return f(n)\ntry: f(0)\n"
            "except RecursionError as error: print(error)",
            "in a thread": "import threading\ndef f(n): return n and f(n - 1)\n"
            "threading.Thread(target=lambda: print(f(900))).start()",
        }.items()
    },
    **{
        f"traceback: {name}": python(f"{code}\n")
        for name, code in {
            "of a lambda": "f = lambda x: x / 0\nf(1)",
            "of exec": "exec('def f():\\n    1 / 0\\nf()')",
            "of eval": "eval('1 / 0')",
            "of a long expression": "x = {'a': {}}\nprint(x['a']\n      ['b']\n      ['c'])",
            "of wide characters": "größe = '大'\nprint(größe + 1, '大大')",
            "of a decorator": "def d(f): return lambda: f()\n@d\ndef g(): 1 / 0\ng()",
            "of a generator": "def g():\n    yield 1 / 0\nnext(g())",
            "thrown into a generator": "def g():\n    yield\nit = g(); next(it); it.throw(ValueError('why'))",
            "of a coroutine": "import asyncio\nasync def f(): 1 / 0\nasyncio.run(f())",
            "of tasks": "import asyncio\nasync def f(): 1 / 0\nasync def main():\n"
            "    async with asyncio.TaskGroup() as group: group.create_task(f()); group.create_task(f())\n"
            "asyncio.run(main())",
            "of a comprehension": "[1 / n for n in (1, 0)]",
            "of a class": "class A:\n    x = 1 / 0",
            "without its cause": "try: 1 / 0\nexcept ZeroDivisionError: raise ValueError('why') from None",
            "during another": "try: 1 / 0\nexcept ZeroDivisionError: [][0]",
            "of a string that fails": "class E(Exception):\n    def __str__(self): 1 / 0\nraise E",
            "of several lines": "raise ValueError('one\\ntwo')",
            "of a class in a function": "def f():\n    class E(Exception): pass\n    raise E('why')\nf()",
            "of sys.path": "import sys\nsys.path.clear()\nimport colorsys",
            "formatted": "import traceback\ntry: 1 / 0\nexcept ZeroDivisionError: print(traceback.format_exc())",
            "of warnings as errors": "import warnings\nwarnings.simplefilter('error')\nwarnings.warn('why')",
            "that was limited": "import sys\nsys.tracebacklimit = 0\n1 / 0",
            "of a name in a class": "class A:\n    def run(self): self.rnu()\nA().run()",
            "of a missing argument": "def f(a, b): pass\nf(1)",
            "of a file that is missing": "open('/tmp/none')",
            "of a number that is too long": "print(int('9' * 5000))",
        }.items()
    },
    **{
        f"syntax: {name}": python(f"{code}\n")
        for name, code in {
            "a quote": "print('a",
            "a bracket": "print((1)",
            "an assignment": "if x = 1: pass",
            "a keyword": "def class(): pass",
            "Python 2": "print 'a'",
            "a wrong dedent": "if 1:\n        a\n    b",
            "a wide character": "x = “a”",
            "return outside": "print(1)\nreturn",
            "await outside": "await f()",
            "an f-string": "f'{a b}'",
            "a star": "*a = 1",
            "an escape": "'\\N{none}'",
            "a future": "from __future__ import braces",
            "at the end of the file": "def f():",
        }.items()
    },
    **{
        f"inspect: {name}": python(f"import inspect, sys\n{code}\n")
        for name, code in {
            "source of a class": "class A:\n    def f(self): return 1\n"
            "print(inspect.getsource(A), inspect.getsource(A.f))",
            "source of a lambda": "f = lambda: 1\nprint(inspect.getsourcelines(f))",
            "source of exec": "exec('def f(): pass')\nprint(inspect.getsource(f))",
            "file and module": "def f(): pass\nprint(inspect.getfile(f), inspect.getmodule(f), "
            "inspect.getsourcefile(f))",
            "frames": "def f(): return [(i.function, i.lineno, i.code_context, i.index) for i in inspect.stack()]\n"
            "print(f())",
            "comments": "# before\ndef f(): pass\nprint(inspect.getcomments(f), inspect.getdoc(f))",
            "main": "print(inspect.getsource(sys.modules['__main__']))",
            "the caller's globals": "print(sorted(sys._getframe().f_globals), sys._getframe().f_code.co_qualname)",
            "linecache": "import linecache\nprint(linecache.getline(__file__, 2))",
            "a frame of a thread": "import threading\nthreading.Thread(\n"
            "    target=lambda: print([f.function for f in inspect.stack()])).start()",
        }.items()
    },
    **{
        f"pdb: {name}": python(f"{code}\n", stdin=stdin)
        for name, (code, stdin) in {
            "in a function": ("def f(x):\n    breakpoint()\n    return x\nf(1)", "a\nll\nu\np f\nc\n"),
            "at the end of its input": ("breakpoint()\nprint(1)", ""),
            "left": ("breakpoint()\nprint(1)", "q\n"),
            "with a breakpoint": (
                "import pdb; pdb.set_trace()\nfor n in range(3):\n    print(n)",
                "b 3\nc\np n\ncl 1\nc\n",
            ),
            "of an error": ("breakpoint()\n1 / 0", "c\n"),
            "of a statement": ("import pdb\npdb.run('x = 1')", "s\np 1\nc\n"),
            "turned off": ("import os\nos.environ['PYTHONBREAKPOINT'] = '0'\nbreakpoint()\nprint(1)", ""),
        }.items()
    },
    **{
        f"faulthandler: {name}": python(f"import faulthandler, os, signal, sys, threading, time\n{code}\n")
        for name, code in {
            "later": "faulthandler.dump_traceback_later(0.2)\ntime.sleep(0.5)",
            "later, with an exit": "faulthandler.dump_traceback_later(0.2, exit=True)\ntime.sleep(5)",
            "at a signal": "faulthandler.register(signal.SIGUSR1)\nos.kill(os.getpid(), signal.SIGUSR1)",
            "at an abort": "faulthandler.enable()\ndef f(): os.abort()\nf()",
            "enabled": "faulthandler.enable()\nprint(faulthandler.is_enabled())",
        }.items()
    },
    **{
        f"logging: {name}": python(f"import logging\n{code}\n")
        for name, code in {
            "an exception": "try: 1 / 0\nexcept ZeroDivisionError: logging.exception('why')",
            "stacklevel of 1 to 4": "logging.basicConfig(format='%(funcName)s:%(lineno)d:%(pathname)s')\n"
            "def f(n): logging.error('', stacklevel=n)\ndef g(n): f(n)\nfor n in range(1, 5): g(n)",
            "the caller": "print(logging.getLogger().findCaller(stack_info=True))",
            "names": "logging.basicConfig(format='%(name)s %(module)s %(processName)s %(threadName)s')\n"
            "logging.error('')",
            "a format that fails": "logging.error('%d', 'x')",
            "to stdout": "import sys\nlogging.basicConfig(stream=sys.stdout, level=0)\nlogging.debug('a'); print('b')",
            "warnings": "import warnings\nlogging.captureWarnings(True)\nlogging.basicConfig()\nwarnings.warn('mine')",
            "at exit": "import atexit\natexit.register(logging.error, 'late')",
        }.items()
    },
    **{
        f"warnings: {name}": python(f"import warnings\n{code}\n")
        for name, code in {
            "stacklevel of 1 to 4": "def f(n): warnings.warn(f'level {n}', stacklevel=n)\ndef g(n): f(n)\n"
            "for n in range(1, 5): g(n)",
            "once": "for n in range(3): warnings.warn('again')",
            "deprecated in main": "warnings.warn('old', DeprecationWarning)",
            "pending": "warnings.warn('later', PendingDeprecationWarning)",
            "of a resource": "open(__file__)",
            "explicit": "warnings.warn_explicit('x', UserWarning, 'elsewhere.py', 7)",
            "of a deprecated function": "@warnings.deprecated('old')\ndef f(): pass\nf()",
            "filters": "print(warnings.filters, sorted(globals().get('__warningregistry__', ())))",
            "of the compiler in exec": "exec(\"'a' is 'b'\")",
        }.items()
    },
}
