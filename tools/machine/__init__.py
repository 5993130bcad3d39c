"""What this machine must have: Docker, Pulumi, packages."""
