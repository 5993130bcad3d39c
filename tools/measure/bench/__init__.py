"""How fast the platform is."""
