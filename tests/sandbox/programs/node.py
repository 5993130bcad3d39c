"""JavaScript in Node."""

from collections.abc import Mapping

from tests.sandbox.programs.program import Program, node

NODE: Mapping[str, Program] = {
    f"node: {name}": program
    for name, program in {
        "main": node(
            "console.log(__filename, require.main === module, process.argv.slice(0, 2), module.paths,"
            " process.execArgv.length, module.children.length, process.cwd())"
        ),
        "what is loaded and open": Program(
            "node",
            files=tuple(
                (
                    name,
                    "console.log(__filename, process.execArgv, Object.keys(require.cache), module.children.length,"
                    " process.getActiveResourcesInfo(), new (require('async_hooks').AsyncResource)('a').asyncId());\n"
                    f"{then}",
                )
                for name, then in (
                    ("main.js", "new (require('worker_threads').Worker)('./worker.js')"),
                    ("worker.js", "require('child_process').fork('./child.js')"),
                    ("child.js", ""),
                )
            ),
        ),
        "an error": node("function fail() { throw new Error('why') }\nfail()"),
        "a syntax error": node("console.log(1\n"),
        "something else thrown": node("throw { code: 7 }"),
        "an unhandled rejection": node("Promise.reject(new Error('why'))"),
        "a rejection with no error": node("Promise.reject(7)"),
        "a rejection that is handled late": node(
            "process.on('unhandledRejection', (why) => console.log('late', why)); Promise.reject(7)"
        ),
        "an uncaught exception": node(
            "process.on('uncaughtException', (error) => console.log('caught', error.message)); throw new Error('why')"
        ),
        "exit": node("process.on('exit', (code) => console.log('exit', code)); process.exitCode = 5"),
        "exit with output left": node("for (let n = 0; n < 500; n++) console.log(n); process.exit(3)"),
        "a signal": node("process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 9999)"),
        "worker threads": node(
            "const { Worker, isMainThread, parentPort, threadId } = require('worker_threads');\n"
            "if (isMainThread) new Worker(__filename).on('message', (word) => console.log(word));\n"
            "else parentPort.postMessage('worker ' + threadId);"
        ),
        "a worker that fails": node(
            "const { Worker, isMainThread } = require('worker_threads');\n"
            "if (isMainThread) new Worker(__filename).on('error', (error) => console.log(error.message));\n"
            "else throw new Error('why');"
        ),
        "a child": node(
            "if (process.argv[2] === 'child') process.send('child');\n"
            "else require('child_process').fork(__filename, ['child']).on('message', (word) => console.log(word));"
        ),
        "http": node(
            "const s = require('http').createServer((q, r) => r.end('pong')).listen(0, 'localhost', async () => {"
            " const r = await fetch('http://localhost:' + s.address().port); console.log(await r.text()); s.close() })"
        ),
        "own source": node("console.log(require('fs').readFileSync(__filename, 'utf8').length)"),
        "a warning": node("process.emitWarning('mine', { code: 'W1' })"),
        "stdin": Program("node", "console.log(require('fs').readFileSync(0, 'utf8'))", stdin="typed\n"),
        "a shebang": node("#!/usr/bin/env node\nconsole.log(1)"),
        "beside": Program("node", files=(("main.js", "console.log(require('./a').b)"), ("a.js", "exports.b = 1"))),
        "clocks": node(
            "const { performance: p } = require('perf_hooks');\n"
            "console.log(process.uptime() < 5, performance.now() < 5000, Date.now() - performance.timeOrigin < 5000,\n"
            "p.now() < 5000, new Event('a').timeStamp < 5000, p.nodeTiming.bootstrapComplete > 0)"
        ),
        "clocks of a module": Program(
            "node",
            files=(("main.js", "require('./clock')"), ("clock.js", "console.log(process['uptime']() < 5)")),
        ),
        "rejected with a string": node("Promise.reject('why')"),
        "rejected with undefined": node("Promise.reject()"),
        "rejected with an object": node("Promise.reject({ code: 7 })"),
        "rejected in an async function": node("async function f() { await null; throw new TypeError('why') }\nf()"),
        "rejected, and caught later": node(
            "const p = Promise.reject(new Error('why')); setTimeout(() => p.catch(() => console.log('late')), 50)"
        ),
        "rejected twice": node("Promise.reject(new Error('one')); Promise.reject(new Error('two'))"),
        "rejected with output left": node("process.stdout.write('a'); Promise.reject(new Error('why'))"),
        "thrown in a timer": node("setTimeout(() => { throw new Error('why') }, 1)"),
        "thrown in a microtask": node("queueMicrotask(() => { throw new Error('why') })"),
        "thrown in nextTick": node("process.nextTick(() => { throw new Error('why') })"),
        "thrown by an emitter": node("new (require('events'))().emit('error', new Error('why'))"),
        "thrown with a cause": node("throw new Error('why', { cause: new Error('because') })"),
        "thrown together": node("throw new AggregateError([new Error('a'), new Error('b')], 'both')"),
        "thrown null": node("throw null"),
        "thrown by a module": Program(
            "node", files=(("main.js", "require('./a')"), ("a.js", "\nthrow new Error('why')"))
        ),
        "a stack": node("function f() { console.trace('here'); console.log(new Error('x').stack) }\nf()"),
        "a stack without limit": node("Error.stackTraceLimit = Infinity\nconsole.log(new Error('x').stack)"),
        "recursion without end": node("function f() { f() }\ntry { f() } catch (e) { console.log(e.message) }\nf()"),
        "a module that is missing": node("require('none')"),
        "a module that is missing, beside": node("require('./none')"),
        "JSON that is broken": Program("node", files=(("main.js", "require('./a.json')"), ("a.json", "{"))),
        "modules that need each other": Program(
            "node",
            files=(
                ("main.js", "console.log(require('./a').x)"),
                ("a.js", "exports.x = 1; require('./b')"),
                ("b.js", "console.log(require('./a').x, module.parent.filename, require.main.filename)"),
            ),
        ),
        "a package beside": Program(
            "node",
            files=(
                ("main.js", "console.log(require('a'))"),
                ("node_modules/a/index.js", "module.exports = __filename"),
            ),
        ),
        "import": node("import fs from 'fs'\nconsole.log(typeof fs.readFileSync, import.meta.url, typeof require)"),
        "import by package.json": Program(
            "node",
            files=(
                ("main.js", "import './a.js'\nconsole.log(this)"),
                ("a.js", "export {}"),
                ("package.json", '{"type": "module"}'),
            ),
        ),
        "import at run time": node("import('fs').then(({ default: fs }) => console.log(typeof fs.readFileSync))"),
        "await at the top": node("await null\nconsole.log('waited')"),
        "await that never ends": node("await new Promise(() => {})\nconsole.log('never')"),
        "process": node(
            "console.log(process.argv0, process.title, process.execPath, process.exitCode, process.stdin.isTTY,"
            " process.stdout.isTTY, process.stdout.writableLength, process.stdout.constructor.name)"
        ),
        "the environment": node("const { HOSTNAME, ...rest } = process.env; console.log(Object.entries(rest).sort())"),
        "globals": node(
            "console.log(Object.keys(globalThis), typeof require, typeof exports, this === module.exports)"
        ),
        "exit in a listener": node("process.on('exit', () => process.exit(4)); process.exit(3)"),
        "beforeExit": node(
            "let n = 0; process.on('beforeExit', () => { if (n++ < 2) setTimeout(() => console.log(n), 1) })"
        ),
        "exit codes": node("process.on('exit', () => { process.exitCode = 300 })"),
        "exit with a word": node("process.exit('2')"),
        "exit with nonsense": node("process.exit('x')"),
        "abort": node("process.on('exit', () => console.log('never')); process.kill(process.pid, 'SIGABRT')"),
        "a signal that is handled": node(
            "process.on('SIGTERM', (name, number) => { console.log(name, number); process.exit(0) });"
            " process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 999)"
        ),
        "an assertion": node("require('assert').strictEqual(1, 2)"),
        "a table": node(
            "console.table([{ a: 1 }, { a: 2 }]); console.group('g'); console.error('in'); console.groupEnd()"
        ),
        "the order of tasks": node(
            "setTimeout(() => console.log('timer'));\n"
            "process.nextTick(() => console.log('tick')); Promise.resolve().then(() => console.log('micro')); "
            "console.log('now')"
        ),
        "output to both": node("for (let n = 0; n < 5; n++) { console.log('a' + n); console.error('b' + n) }"),
        "input in lines": node(
            "require('readline').createInterface({ input: process.stdin }).on('line', (l) => console.log(`<${l}>`))"
            ".on('close', () => console.log('end'))",
            stdin="a\nb",
        ),
        "input by events": node(
            "process.stdin.on('data', (d) => console.log(d)).on('end', () => console.log('end'))", stdin="a"
        ),
        "input that nobody reads": node("process.stdin.resume(); process.stdin.unref(); console.log('end')", stdin="a"),
        "a question": node(
            "const io = require('readline').createInterface(process.stdin, process.stdout);"
            " io.question('name? ', (name) => { console.log('hi', name); io.close() })",
            stdin="you\n",
        ),
        "shared memory of workers": node(
            "const { Worker, isMainThread, workerData } = require('worker_threads');\n"
            "if (isMainThread) { const a = new Int32Array(new SharedArrayBuffer(4));\n"
            "new Worker(__filename, { workerData: a }).on('exit', (code) => console.log(Atomics.load(a, 0), code)) }\n"
            "else { Atomics.add(workerData, 0, 7); process.exit(3) }"
        ),
        "a worker of code": node(
            "const { Worker } = require('worker_threads');\n"
            "new Worker('console.log(process.argv.length, require.main === undefined)', { eval: true })"
        ),
        "a worker whose error nobody hears": node(
            "const { Worker } = require('worker_threads'); new Worker('throw new Error(\"why\")', { eval: true })"
        ),
        "a worker that is stopped": node(
            "const { Worker } = require('worker_threads'); const w = new Worker('for (;;);', { eval: true });\n"
            "w.on('online', () => w.terminate().then((code) => console.log('stopped', code)))"
        ),
        "a channel": node(
            "const { port1, port2 } = new MessageChannel(); port1.on('message', (m) => { console.log(m); "
            "port1.close() });"
            " port2.postMessage({ a: [1n] })"
        ),
        "children": node(
            "const { execSync, spawnSync } = require('child_process');\n"
            "console.log(execSync('echo $((1 + 1))').toString(), spawnSync('sh', ['-c', 'exit 3']).status,\n"
            "spawnSync('sh', ['-c', 'kill -9 $$']).signal, spawnSync('none').error.code)"
        ),
        "a cluster": node(
            "const cluster = require('cluster');\n"
            "if (cluster.isPrimary) cluster.fork().on('exit', (code) => console.log('worker', code)); else "
            "process.exit(5)"
        ),
        "a deprecation": node("new Buffer(1)"),
        "too many listeners": node("for (let n = 0; n < 12; n++) process.on('foo', () => {})"),
        "vm": node(
            "console.log(require('vm').runInNewContext('a + 1', { a: 1 })); require('vm').runInThisContext('throw 1')"
        ),
        "eval": node("eval('function f() { throw new Error(1) }; f()')"),
        "strict mode": node("'use strict'\nundeclared = 1"),
        "an octal number": node("console.log(010, (function () { return this === globalThis })())"),
        "a file that is written": node(
            "const fs = require('fs'); fs.writeFileSync('a', 'x'); console.log(fs.readFileSync('/tmp/a', 'utf8'))"
        ),
        "a BOM": Program("node", files=(("main.js", "\ufeffconsole.log(__filename)"),)),
        "source that is not UTF-8": Program("node", files=(("main.js", b"console.log('\xe9'.charCodeAt(0))"),)),
        "a NUL": Program("node", files=(("main.js", b"console.log('a\0b'.length)"),)),
        "CR LF": node("console.log(1)\r\nthrow new Error('x')\r\n"),
        "languages": node(
            "console.log(new Intl.NumberFormat('de').format(1234.5), new Date(0).toString(), "
            "'ä'.localeCompare('z', 'sv'))"
        ),
    }.items()
}
