"""How the stack becomes real on Docker."""
