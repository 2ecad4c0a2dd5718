"""What a template shows that got at something it must not have."""

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
