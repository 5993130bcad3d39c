"""The program behind `make`: it brings the platform up on a machine, tests it, and takes it down again."""
