"""Which addresses a link in a mail may have."""

from urllib.parse import quote

SCHEMES = ("https", "http", "mailto", "tel")
_KEPT = "-._~:/?#[]@!$&'()*+,;=%"  # RFC 3986: reserved and unreserved characters, and what is encoded already


def safe_url(url: str) -> str:
    """The address, encoded for a link; `#` if its scheme is none of `SCHEMES` (script, data, file, …)."""
    bare = "".join(url.split())
    scheme, colon, _ = bare.partition(":")
    if any(ord(character) < ord(" ") for character in bare):
        return "#"
    if not colon or any(mark in scheme for mark in "/?#"):
        return quote(bare, safe=_KEPT)
    return quote(bare, safe=_KEPT) if scheme.lower() in SCHEMES else "#"
