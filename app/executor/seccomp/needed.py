"""What the executor's own container needs beyond the sandbox's profile, and why.

All processes of the container are under this filter, those in sandboxes under the sandbox's too.
"""

from app.executor.seccomp.removed import Removal

NEEDED: tuple[Removal, ...] = (
    Removal(
        "mount umount2 mount_setattr move_mount open_tree pivot_root chroot",
        "The executor and the OCI runtime mount each sandbox's file systems and change its root.",
    ),
    Removal(
        "clone clone3 unshare setns sethostname",
        "The launcher makes the executor's user namespace, and the OCI runtime each sandbox's namespaces.",
    ),
    Removal(
        "memfd_create", "crun runs from a sealed copy of itself; gVisor keeps its sandboxes' memory in such files."
    ),
    Removal("ptrace process_vm_readv process_vm_writev", "gVisor starts and controls the processes of its sandboxes."),
    Removal("mincore", "gVisor counts the memory of its sandboxes by it."),
)
"""Calls that `removed.py` takes from the sandbox, or that the sandbox has on conditions only."""
