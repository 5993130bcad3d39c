"""What is built: images, wheels, generated documents."""
