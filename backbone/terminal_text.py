"""Makes text safe to print: names and messages of others may hold characters that steer a terminal.

Control characters, and marks that turn the direction of writing, become escapes such as `\\x1b`.
"""

import re

# All control characters but the tab and the end of a line, marks of direction, other ends of lines, lone surrogates.
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str) -> str:
    """The text, its lines kept."""
    return STEERS.sub(_escape, text)


def one_line(text: str) -> str:
    """As `clean`, and in one line: for names."""
    return clean(text).replace("\n", "\\n").replace("\t", "\\t")


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
