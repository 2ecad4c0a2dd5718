"""`GET /v1/accounts/{id}/record`: the records that the services keep, joined while they are read.

A record may be larger than what one wants in memory, so they are not decoded: each has the form
`{"account": …, …,"services":{…}}`, and what stands inside `services` goes from one into the other.
"""

from collections.abc import AsyncIterator

from backbone.errors import BadGateway

INSIDE = b',"services":{'  # no JSON string can hold this: a quote in a string stands behind a backslash
END = b"}}"
KEPT = 8  # bytes that may be the end, and white space after it
MOST_HEAD = 65_536  # bytes before the inside


async def head_and_rest(pieces: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """A record up to the inside of `services`, and what is inside, piece by piece. Raises `BadGateway`."""
    held = bytearray()
    async for piece in pieces:
        held += piece
        found = held.find(INSIDE)
        if found >= 0:
            at = found + len(INSIDE)
            return bytes(held[:at]), _inside(bytes(held[at:]), pieces)
        if len(held) > MOST_HEAD:
            break
    raise BadGateway("what a service answered is no record")


async def _inside(held: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Everything but the end of the record. Raises `BadGateway` if it has none: it broke off."""
    async for piece in pieces:
        held += piece
        yield held[:-KEPT]
        held = held[-KEPT:]
    if not held.rstrip().endswith(END):
        raise BadGateway("the record of a service broke off")
    yield held.rstrip()[: -len(END)]
