"""The VPS: preparation over SSH, and its firewall."""
