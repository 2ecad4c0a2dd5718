"""The shared language."""
