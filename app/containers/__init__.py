"""The figures of the services' containers, for Prometheus: a process of its own that speaks to no Docker.

The kernel's counters are read in the host's control groups. Names, restarts and start times are read in the files that
Docker keeps for each container and replaces, as a whole, whenever it creates, starts, restarts or stops one; on a
cluster, in the links that a kubelet makes to the logs of its containers.
"""
