"""What both processes need to run: settings, logs, traces, health."""
