"""The health check of our own images."""

HEALTHCHECK = ("python", "-I", "-S", "/srv/app/process/healthcheck.py")
