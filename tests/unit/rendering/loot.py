"""The texts by which a template shows that it reached something forbidden."""

LOOT = (
    "canary",
    "root:",
    "<class",
    "<function",
    "<module",
    "<built-in",
    " object at 0x",
    "mappingproxy",
    "uid=",
)
