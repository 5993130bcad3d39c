"""The VPS: its preparation over SSH and its firewall."""
