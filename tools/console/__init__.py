"""What a person at the terminal sees: steps, reports, tables."""
