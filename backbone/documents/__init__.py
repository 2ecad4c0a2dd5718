"""Named documents in versions: their store, their HTTP side, and what documents are told of one another."""
