"""Prepares answers for sending: in pieces that a client takes in one by one, or whole if the server itself refuses."""

from collections.abc import Iterator
from http import HTTPStatus

from starlette.types import Message

from backbone.web.middleware import problem

PIECE = 16_384  # bytes of an answer that may wait for the client


def early(message: Message) -> Message:
    """An answer given before its request is complete; it is the last on its connection."""
    others = [pair for pair in message.get("headers", ()) if pair[0].lower() != b"connection"]
    return {**message, "headers": [*others, (b"connection", b"close")]}


def pieces(message: Message) -> Iterator[Message]:
    """The same message in pieces that share the memory of its body; each is made when its turn comes."""
    if len(message.get("body", b"")) <= PIECE:
        yield message
        return
    body, more = memoryview(message["body"]), message.get("more_body", False)
    for at in range(0, len(body), PIECE):
        last = at + PIECE >= len(body)
        yield {"type": message["type"], "body": body[at : at + PIECE], "more_body": more or not last}


def whole(status: int, code: str, message: str) -> bytes:
    """The bytes of a refusal, which is the last answer on its connection."""
    answer = problem(status, code, HTTPStatus(status).phrase, message)
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(), b"connection: close"]
    lines += [name + b": " + value for name, value in answer.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(answer.body)])
