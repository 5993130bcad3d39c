"""One module a command: `run(options, runner)` returns the exit code, or None; `options(parser)` declares options."""
