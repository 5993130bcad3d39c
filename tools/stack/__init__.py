"""The stacks that the commands work on."""
