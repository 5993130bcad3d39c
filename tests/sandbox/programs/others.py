"""Ruby, SQL, and Python with its packages for data."""

from collections.abc import Mapping

from tests.sandbox.programs.program import Program

_RUBY = {
    "main": "at_exit { puts 'end' }\np __FILE__, $0, ARGV.size, DATA.read\n__END__\ndata\n",
    "DATA from its start": "DATA.rewind\nputs DATA.read\n__END__\ndata\n",
    "an error": "def f = raise('why')\nf\n",
    "an error with its cause": "begin\n  1 / 0\nrescue\n  raise ArgumentError, 'why'\nend\n",
    "a syntax error": "puts 1\nif true\n",
    "a name that is nearly right": "[1].frist\n",
    "exit": "at_exit { puts 1 }\nat_exit { puts 2; exit 4 }\nexit 3\n",
    "exit!": "at_exit { puts 'never' }\nexit!(5)\n",
    "exit, rescued": "begin\n  exit 3\nrescue SystemExit => e\n  p e.status, e.success?\nend\n",
    "abort": "abort 'why'\n",
    "a thread that fails": "Thread.new { raise 'why' }.join\n",
    "throw": "throw :nothing\n",
    "recursion without end": "def f = f()\nbegin\n  f\nrescue SystemStackError => e\n  puts e.message\nend\n",
    "caller": "def f = puts(caller, __method__, __dir__, __LINE__)\nf\n",
    "warnings": "warn 'mine'\nwarn 'level', uplevel: 0\n$VERBOSE = true\nx = 1\n",
    "fork": "fork { puts 'child'; exit 2 }\nProcess.wait\np $?.exitstatus\n",
    "processes": "puts `echo $((1 + 1))`\nsystem('exit 3')\np $?.exitstatus\n",
    "finalizers": "ObjectSpace.define_finalizer(Object.new, proc { puts 'gone' })\nBEGIN { puts 'first' }\n"
    "END { puts 'last' }\n",
    "input": "p gets, $stdin.read\n",
    "encodings": "p __ENCODING__, Encoding.default_external, 'é'.bytes\n",
    "an encoding of its own": "# encoding: iso-8859-1\np __ENCODING__\n",
    "an interrupt": "begin\n  Process.kill(:INT, $$)\n  sleep 1\nrescue Interrupt\n  puts 'interrupted'\nend\n",
}
_SQL = {
    "rows": "SELECT 1 AS one, NULL AS none, 'ä' AS text;\n",
    "an error": "SELECT 1;\nSELECT nosuch;\nSELECT 2;\n",
    "a syntax error": "SELEC 1;\n",
    "a statement that is not ended": "SELECT 1",
    "commands": ".mode json\nSELECT 1 AS a;\n.print printed\n.show\n.nosuch\n",
    "a transaction that is left": "CREATE TABLE t(x); BEGIN; INSERT INTO t VALUES (1); SELECT * FROM t;\n",
    "a comment": "-- one\n/* two\n*/ SELECT 3;\n",
    "input": "CREATE TABLE t(a, b);\n.import --csv /dev/stdin t\nSELECT * FROM t;\n",
    "itself": ".system cat main.sql\nSELECT 1;\n",
    "exit": "SELECT 1;\n.exit 3\nSELECT 2;\n",
    "nothing": "-- nothing\n",
    "many rows": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 50) SELECT x, x * x FROM n;\n",
}
_DATA = {
    "a frame": "import pandas as pd\nprint(pd.DataFrame({'a': [1, 2]}).describe())\n",
    "an error": "import numpy as np\nnp.zeros(2) @ np.zeros(3)\n",
    "the packages": "import numpy, pandas, matplotlib\nprint(numpy.__version__, pandas.__file__, "
    "matplotlib.get_backend())\n",
}

OTHERS: Mapping[str, Program] = {
    **{f"ruby: {name}": Program("ruby", code, stdin="typed\nmore") for name, code in _RUBY.items()},
    "ruby: a signal": Program("ruby", "Process.kill(:TERM, $$); sleep 5\n"),
    "ruby: beside": Program("ruby", files=(("main.rb", "require_relative 'a'\nputs X\n"), ("a.rb", "X = __FILE__\n"))),
    **{f"sql: {name}": Program("sqlite", code, stdin="1,2\n3,4\n") for name, code in _SQL.items()},
    "sql: a file of settings": Program(
        "sqlite", files=(("main.sql", "SELECT 1 AS a;\n"), (".sqliterc", ".print settings\n"))
    ),
    "sql: a main file with quotes": Program("sqlite", files=(("a 'b' \"c\" \\d.sql", "SELECT 1;\nSELECT nosuch;\n"),)),
    "sql: a file beside": Program("sqlite", files=(("main.sql", ".read 'a b.sql'\n"), ("a b.sql", "SELECT 1;\n"))),
    **{f"data: {name}": Program("python-data", code) for name, code in _DATA.items()},
    **{
        f"data: a file called {name}": Program(
            "python-data", files=(("main.py", "import numpy, json\nprint(numpy.__file__, json.__file__)\n"), (name, ""))
        )
        for name in (".matplotlib", "numpy.py", "json/__init__.py", ".config/matplotlib", ".cache")
    },
    "data: settings of matplotlib": Program(
        "python-data",
        files=(
            ("main.py", "import matplotlib\nprint(matplotlib.matplotlib_fname(), matplotlib.rcParams['figure.dpi'])\n"),
            ("matplotlibrc", "figure.dpi: 50\n"),
        ),
    ),
    **{
        f"arguments of {environment}": Program(environment, code, args=("a b", "", "-c", "--", "é\n*"))
        for environment, code in {
            "python": "import sys\nprint(sys.argv, sys.orig_argv[1:], sys.flags)\n",
            "node": "console.log(process.argv.slice(1), process.execArgv.length)",
            "bash": 'echo "$0" $#; printf "<%s>" "$@"\n',
            "ruby": "p $0, ARGV\n",
            "sqlite": "SELECT ?1, ?2, ?5;\n",
        }.items()
    },
    "a main file in a folder": Program(
        "python",
        files=(
            ("src/run.py", "import sys; print(open('data.bin', 'rb').read(), sys.path[0], __file__)"),
            ("data.bin", b"\0\xff"),
        ),
    ),
    "a main file of another name": Program(
        "node",
        files=(
            ("a.mjs", "import { word } from './b.mjs'; console.log(word, await Promise.resolve(1), import.meta.url)"),
            ("b.mjs", "export const word = 'whole'"),
        ),
    ),
    "60 KB of input": Program("node", "console.log(require('fs').readFileSync(0, 'utf8').length)", stdin="x" * 60_000),
}
