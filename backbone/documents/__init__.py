"""Named documents in versions: their store, their HTTP side, and the registry of their outlines."""
