"""TypeScript in Node, which takes the types away and refuses what is more than types."""

from collections.abc import Mapping

from tests.sandbox.programs.program import Program, typescript

TYPESCRIPT: Mapping[str, Program] = {
    f"typescript: {name}": program
    for name, program in {
        "main": typescript(
            "const greeting: string = 'hello';\n"
            "console.log(greeting, __filename, require.main === module, process.argv.slice(0, 2), module.paths)"
        ),
        "a module": typescript("export {};\nawait null;\nconsole.log(import.meta.url, typeof require);"),
        "an error": typescript(
            "interface Moon { name: string }\nfunction fail(moon: Moon): never { throw new TypeError(moon.name) }\n"
            "fail({ name: 'why' } as Moon)"
        ),
        "an error of a module": typescript("export {};\ntype Why = string;\nthrow new Error('why' satisfies Why);"),
        "exit": typescript("process.exitCode = 5 as number;\nconsole.error('out' as const);"),
        "types alone": typescript(
            "type Name = 'a' | 'b';\n"
            "interface Named<T extends Name = 'a'> { readonly name: T; at?: [number, ...Name[]] }\n"
            "declare const nowhere: Named;\nabstract class Shape<T> { abstract area(): number; protected x!: T }\n"
            "class Square extends Shape<number> implements Object { override area() { return 4 } }\n"
            "const found = <T,>(it: T | undefined): T => it!;\n"
            "console.log(found<number>(new Square().area()), typeof nowhere)"
        ),
        "a type that is wrong": typescript("const n: number = 'text';\nconsole.log(n);"),
        "files beside": Program(
            "typescript",
            files=(
                ("main.ts", "import { moons, type Moon } from './moons.ts';\nconsole.log(moons satisfies Moon[]);"),
                ("moons.ts", "export type Moon = string;\nexport const moons: Moon[] = ['Phobos', 'Deimos'];"),
            ),
        ),
        "a type that is imported as a value": Program(
            "typescript",
            files=(("main.ts", "import { Moon } from './moons.ts';"), ("moons.ts", "export type Moon = string;")),
        ),
        "an enum": typescript("console.log('never');\nenum Colour { Red }"),
        "a namespace": typescript("namespace Moons { export const count = 2 }"),
        "a parameter property": typescript("class Moon { constructor(private name: string) {} }"),
        "an import by assignment": typescript("import fs = require('fs');"),
        "a decorator": typescript("function kept(_: unknown, __: unknown) {}\n@kept class Moon {}"),
        "a syntax error": typescript("const n: = 1;"),
        "a syntax error of JavaScript": typescript("const n: number = 1;\nconst n = 2;"),
    }.items()
}
