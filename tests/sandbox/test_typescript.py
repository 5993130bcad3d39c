"""Node runs TypeScript as it is, without its types."""

import pytest

from tests.sandbox.processes import Platform


@pytest.mark.parametrize(
    "module", ["const twice = (n: number): number => 2 * n", "export {}; await 0; const twice = (n: number) => 2 * n"]
)
def test_typescript_runs_as_it_is(platform: Platform, module: str) -> None:
    code = f"{module}\ntype Name = string;\nconst file: Name = process.argv[1]!;\nconsole.log(file, twice(21))\n"
    answer = platform.run("ts", code)
    assert (answer["stdout"], answer["stderr"], answer["exit_code"]) == ("/tmp/main.ts 42\n", "", 0)
    assert answer["environment"] == "typescript"


def test_typescript_and_javascript_import_each_other(platform: Platform) -> None:
    main = 'import { twice } from "./lib.ts";\nimport { one } from "./one.mjs";\nconsole.log(twice(one));\n'
    lib = "export function twice(n: number): number { return 2 * n }\n"
    sources = {"main.mts": main, "lib.ts": lib, "one.mjs": "export const one = 1;\n"}
    answer = platform.run("node", files=[{"name": name, "content": text} for name, text in sources.items()])
    assert (answer["stdout"], answer["exit_code"]) == ("2\n", 0)


def test_an_error_of_typescript_names_its_line(platform: Platform) -> None:
    answer = platform.run("typescript", "interface A { b: string }\nthrow new Error('x' as string)\n")
    assert (answer["status"], answer["exit_code"]) == ("error", 1)
    assert answer["stderr"].startswith("file:///tmp/main.ts:2\nthrow new Error('x'          )\n"), (
        "as Node itself says it"
    )
