"""Regular expressions that cost a server's time or memory, or that need features which RE2 lacks."""

from itertools import product

# Each looks for a word of a's and a b. On a long word without a b, backtracking matchers try every way to cut it.
_INNER = ("a+", "a*", "a?", "(a|a)", "(a|aa)", "(a|a?)", "[a-z]+", r"\w+", ".*", "(a+)+")
_OUTER = ("+", "*", "{1,40}")
EXPLODING = [
    *(f"^({inner}){outer}B$" for inner, outer in product(_INNER, _OUTER)),
    "^" + "a?" * 60 + "a" * 60 + "B",
    "(.*a){12}B$",
    "^(([a-z])+.)+[A-Z]([a-z])+B$",
    "(a|b|ab)*cB",
    "(" * 2_000 + "a" + ")" * 2_000 + "B",
]
HOSTILE_TEXT = "a" * 5_000 + "!"
REFUSED = [
    "(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", r"(a)\1", r"(?P<x>a)(?P=x)", r"(?<x>a)\k<x>", "(?>a+)", "a++", "a*+", "a?+",
    "(a)(?(1)b|c)", "(?R)", "(?1)", "(?&x)", "(?#a)", "(?P>x)", r"\Z", r"\G", r"\X", r"\R", "(", ")", "[", "[z-a]",
    "*a", "a**", "a{2,1}", "a{1001}", "(a{1000}){1000}", "((a{100}){100}){100}", "[[:nothing:]]", r"\p{Nothing}", "\\",
    "(?i", "(?z)a", r"\x{110000}", r"\8",
]  # fmt: skip
