"""What counts as an address of the web, in endpoints and in the brand. Nothing is looked up."""

from urllib.parse import SplitResult, urlsplit


def web_address(text: str) -> SplitResult:
    """The parts of an http or https address with a host. Raises `ValueError`."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  (raises for a port that is none)
    except ValueError as error:
        raise ValueError("is no address") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http or https address")
    return parts
