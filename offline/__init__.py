"""What is built where only package registries can be reached."""
