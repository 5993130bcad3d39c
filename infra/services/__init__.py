"""One module for each service of the stack: what it is, and who uses it."""
