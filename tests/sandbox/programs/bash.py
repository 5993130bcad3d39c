"""Bash."""

from collections.abc import Mapping

from tests.sandbox.programs.program import Program, bash

BASH: Mapping[str, Program] = {
    f"bash: {name}": program
    for name, program in {
        "main": bash('echo "$0" $# $- "${BASH_SOURCE[0]}" $LINENO "$PWD" $SHLVL "$BASH_EXECUTION_STRING"; caller'),
        "LINENO": bash("\n\necho $LINENO\nf() { echo $LINENO; }\nf\n"),
        "an error": bash("\nnonesuch\n"),
        "a syntax error": bash("echo 1\nif true; then\n"),
        "a quote that is open": bash("echo 1\necho 'a\n"),
        "set -u": bash("set -u\necho $nonesuch\necho after\n"),
        "set -e": bash("set -e\nfalse\necho after\n"),
        "set -x": bash("set -x\necho $((1 + 1))\n"),
        "a here-document": bash("cat <<END\n$((1 + 1))\n\tx\nEND\ncat <<-'END'\n\t$x\n\tEND\ncat <<<word\n"),
        "a here-document without its end": bash("cat <<END\nx\n"),
        "process substitution": bash("diff <(echo a) <(echo b); tee >(cat >&2) <<<x >/dev/null; sleep 0.2\n"),
        "a pipe that is closed": bash("yes | head -1; echo ${PIPESTATUS[@]}\n"),
        "the order of streams": bash("for n in 0 1 2 3 4 5; do echo a$n; echo b$n >&2; done\n"),
        "stdin": bash('read -r line; echo "$line"; cat\n', stdin="one\ntwo\n"),
        "stdin that a command reads": bash("head -c 2; echo; cat\n", stdin="abcd\n"),
        "exit": bash("trap 'echo bye' EXIT\nexit 7\n"),
        "exit with 137": bash("exit 137\n"),
        "exit long before the end": bash("exit 3\n" + "# a comment\n" * 4000),
        "a signal": bash("kill -TERM $$\n"),
        "a killed child": bash("bash -c 'kill -9 $$'; echo $?\n"),
        "the source of itself": bash('[[ $again ]] && exit; again=1; source "$0"; echo never\n'),
        "a child of the same file": bash('[[ $1 == x ]] && { echo child; exit; }; bash "$0" x\n'),
        "a long line": bash("echo " + "x" * 9000 + "\n"),
        "CR LF": bash("echo a\r\necho b\r\n"),
        "a NUL": Program("bash", files=(("main.sh", b"echo a\0b\n"),)),
        "jobs": bash("sleep 0.1 & wait $!; echo $?; jobs\n"),
        "a program in /tmp": bash("echo 'echo ran' >a.sh; chmod +x a.sh; bash a.sh\n"),
        "descriptors": bash("cd /proc/$$/fd; echo *; [[ -t 0 || -t 1 ]] || echo 'no terminal'\n"),
        "results": bash("echo kept >results/a.txt\n", results=True),
        "clocks": bash("echo $SECONDS; now=$EPOCHSECONDS; printf -v start '%(%s)T' -2; echo $((now - start < 3))\n"),
        "a script that adds to itself": bash('echo "echo added" >>"$0"; echo first\n'),
        "a script that adds to itself by name": bash("echo 'echo added' >> main.sh\necho first\n"),
        "a script that removes itself": bash('rm -- "$0"; echo on; ls; cat "$0"\n'),
        "a script that prints itself": bash('tail -n +2 "$0"\nexit\ndata\n'),
        "a script that another process adds to": bash("f() { printf 'echo added\\n' | tee -a /tmp/main.sh; }\nf\n"),
        "LINENO in many places": bash(
            "echo $LINENO \\\n  $LINENO\nf() {\n  echo $LINENO ${BASH_LINENO[@]} ${FUNCNAME[@]} ${BASH_SOURCE[@]}\n}\n"
            "f\n"
            "eval 'echo $LINENO'\n( echo $LINENO )\necho $(echo $LINENO)\ntrap 'echo $LINENO' EXIT\n"
        ),
        "caller": bash("f() { caller 0; caller; }\ng() {\n f\n}\ng\n"),
        "here-documents, nested": bash("cat <<A; cat <<B\n$(cat <<C\nin\nC\n)\nA\n`echo b`\nB\n"),
        "a here-document in a function": bash("f() { cat <<END\n$1 \\$1\nEND\n}\nf x; f y | cat\n"),
        "a here-document as a script": bash("bash <<'END'\necho $0 $LINENO\nnonesuch\nEND\n"),
        "a here-document for read": bash('while read -r a b; do echo "$b $a"; done <<END\n1 2\n3 4\nEND\n'),
        "a here-document of 20 KB": bash("wc -c <<END\n" + "x" * 20_000 + "\nEND\n"),
        "process substitution for read": bash("mapfile -t a < <(printf '%s\\n' 1 2); echo ${#a[@]} \"${a[@]}\"\n"),
        "process substitution, in order": bash("paste <(seq 3) <(seq 3 | tac)\n"),
        "process substitution as a script": bash("source <(echo 'echo sourced $LINENO'); bash <(echo 'echo $#') a b\n"),
        "a coprocess": bash("coproc cat; echo x >&${COPROC[1]}; read -r y <&${COPROC[0]}; echo $y\n"),
        "$0 in a function": bash(
            'f() { echo "$0 $FUNCNAME $#"; }; f a b; bash -c \'echo $0 $1\' x y; (exec -a z bash -c "echo \\$0")\n'
        ),
        "special parameters": bash(
            'set -- a \'b c\'; echo $# "$*" "$@" $? $- ${!#} $_; echo $((BASH_SUBSHELL)) $(echo $BASH_SUBSHELL)\n'
        ),
        "variables of the shell": bash(
            "echo $BASH $BASH_VERSION $SHELL $SHELLOPTS $BASHOPTS $HOME $TERM $PS1 $PS4 $IFS $OSTYPE ${!BASH*}\n"
        ),
        "options": bash("shopt; set -o; alias; umask\n"),
        "the environment": bash(
            "env | grep -v HOSTNAME | sort; declare -p | grep -vE "
            "'RANDOM|SECONDS|EPOCH|PID|HOSTNAME|SRANDOM|UID' | head -40\n"
        ),
        "traps": bash("trap 'echo ERR $LINENO' ERR; trap 'echo EXIT $?' EXIT; false; (exit 3); exit 4\n"),
        "a trap of every command": bash("trap 'echo \"+ $BASH_COMMAND\"' DEBUG\necho a\necho b\n"),
        "a trap of a signal": bash("trap 'echo caught' USR1; kill -USR1 $$; echo on\n"),
        "a trap of return": bash("f() { trap 'echo back' RETURN; return 3; }; f; echo $?\n"),
        "a signal in a subshell": bash("(kill -TERM $BASHPID); echo $?\n"),
        "an exit trap and a signal": bash("trap 'echo end' EXIT; kill -TERM $$\n"),
        "an interrupt": bash("kill -INT $$; echo on\n"),
        "a kill": bash("kill -KILL $$\n"),
        "a real-time signal": bash("kill -RTMIN+1 $$\n"),
        **{
            f"exit {code}": bash(f"exit {code}\n")
            for code in ("0", "255", "256", "-1", "300", "129", "159", "abc", "1 2")
        },
        "exit in a pipeline": bash("exit 3 | true; echo ${PIPESTATUS[@]}; set -o pipefail; exit 4 | true\n"),
        "exit of the last command": bash("true\nfalse\n"),
        "exit of a command not found": bash("nonesuch\nexit\n"),
        "exec": bash("exec echo replaced\necho never\n"),
        "exec of nothing": bash("exec nonesuch\necho never\n"),
        "exec with descriptors": bash("exec 3>&1 >/dev/null; echo hidden; echo shown >&3\n"),
        "return": bash("return 3\necho on\n"),
        "a division by zero": bash("\necho $((1 / 0))\necho on\n"),
        "a parameter that is needed": bash("echo ${nonesuch:?is needed}\necho never\n"),
        "an error in a function": bash("f() {\n  nonesuch\n}\n\nf\n"),
        "an error in a pipe": bash("\nnonesuch | cat\necho ${PIPESTATUS[@]}\n"),
        "an error in eval": bash("\neval 'if'\necho on\n"),
        "an error in a file that is sourced": Program(
            "bash", files=(("main.sh", "\n. ./a.sh\n"), ("a.sh", "\n\nnonesuch\n"))
        ),
        "an error in a substitution": bash("x=$(nonesuch)\necho $? $(\n"),
        "a bracket that is missing": bash("echo 1\n[ 1 = 1\n[[ 1\necho 2\n"),
        "a loop without its end": bash("echo 1\nfor x in 1; do\necho $x\n"),
        "done without its loop": bash("echo 1\ndone\necho 2\n"),
        "a here-document in a quote that is open": bash('echo "$(cat <<END\nx\n'),
        "a folder, and a file that is not executable": bash("/tmp; /etc/hosts; ./none; cd none\n"),
        "set -v": bash("set -v\necho a # b\n"),
        "set -n": bash("echo a\nset -n\necho never\n"),
        "set -x in functions": bash("PS4='+$LINENO ${FUNCNAME[0]} '\nset -x\nf() { echo $1; }\nf a\n"),
        "set -eE and a trap": bash("set -eE\ntrap 'echo at $LINENO' ERR\nf() {\n  false\n}\nf\necho never\n"),
        "aliases": bash("shopt -s expand_aliases\nalias hi='echo hello'\nhi there\n"),
        "getopts": bash("set -- -a -b x -z; while getopts ab: o; do echo $o $OPTARG; done; echo $OPTIND\n"),
        "read": bash("read -rp 'name? ' a b; echo \"$b-$a\"; read -r -t 1 c || echo none $?\n", stdin="x y z\n"),
        "select": bash("select x in a b; do echo $x $REPLY; break; done\n", stdin="2\n"),
        "stdin of a background job": bash("cat & wait; echo $(cat)\n", stdin="typed"),
        "wait": bash("(exit 3) & wait -n; echo $?; wait 99999; echo $?\n"),
        "background output": bash("(sleep 0.2; echo late) & echo now; wait\n"),
        "a background job that is left": bash("sleep 60 & echo left\n"),
        "disown and nohup": bash("sleep 60 & disown; jobs; echo $!x | tr -d 0-9\n"),
        "arrays": bash(
            "declare -A m=([a]=1 [b]=2); a=(x y); a+=(z); echo ${m[b]} ${a[-1]} ${#a[@]} ${a[@]:1}; declare -p a\n"
        ),
        "a name reference": bash("f() { local -n r=$1; r=2; }; x=1; f x; echo $x; local y\n"),
        "printf": bash("printf '%q %s %5.2f|%-4s|\\n' 'a b' \"$(printf '\\x41')\" 3.14159 x; printf %d z\n"),
        "globs": bash("touch a.txt b.txt; echo *.txt none*; shopt -s nullglob; echo none*; echo {1..3}{a,b}\n"),
        "a wide character": bash("x='größe 大'; echo ${#x} ${x^^}\n"),
        "output that is not UTF-8": bash("printf '\\xff\\xfe\\n'\n"),
        "a redirection that fails": bash("echo x >/none/x\necho $? >&2\necho x >/etc/x\n"),
        "noclobber": bash("set -C; echo a >f; echo b >f; echo c >|f; cat f\n"),
        "a shebang": bash("#!/usr/bin/env python3\necho $0\n"),
        "an empty line": bash("\n\n\n# only a comment"),
        "no line end": bash("echo a"),
        "a backslash at the end": bash("echo a\\"),
        "7,000 lines": bash("n=0\n" + "((n++))\n" * 7000 + "echo $n $LINENO\n"),
    }.items()
}
