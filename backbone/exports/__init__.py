"""Exports for analysts: the rows of a table in the order of their last change, so that a reader who goes on from the
last cursor misses nothing and reads nothing twice. See docs/decisions/0043-exports.md."""
