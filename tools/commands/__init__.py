"""One module a command: `run(options, runner)` returns the exit code; `options(parser)` declares options, if any."""
