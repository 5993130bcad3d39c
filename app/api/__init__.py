"""The public process: validates, limits, and passes executions on to the executor. Holds no engine socket."""
