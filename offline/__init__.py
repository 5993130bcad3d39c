"""What is built on machines that reach package registries and nothing else. It imports no other folder."""
