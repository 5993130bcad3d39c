"""One module a command: `run(options, runner)` returns the exit code."""
