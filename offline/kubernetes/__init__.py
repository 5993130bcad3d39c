"""A Kubernetes on this machine for tests and for a laptop: one node or two, each in namespaces of its own."""
