"""The process that owns the pool and the engine, and runs executions in sandboxes. It has no network."""
