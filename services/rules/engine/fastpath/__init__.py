"""What makes the engine fast: generated handlers, shared series, the distance to a rule's threshold. Pure."""
