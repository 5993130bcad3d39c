"""The process that holds the engine's socket and runs executions in sandboxes. Never reachable from a network."""
