"""The AppArmor profiles of infra/host/apparmor, by their names."""

EXECUTOR, SANDBOX = "vps-executor", "vps-sandbox"
BOTH = f"{EXECUTOR}//&{SANDBOX} (enforce)"
"""What the kernel says of a sandbox's process."""
