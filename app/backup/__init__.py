"""Copies of the data volumes in a restic repository, and drills that restore them: a process of its own."""
