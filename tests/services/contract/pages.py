"""The answers that the OpenAPI page describes, and whether a real answer fits."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
from jsonschema import Draft202012Validator

JSON = "application/json"
Place = tuple[str, str, str]  # method, path as written on the page, status


class Page:
    """The OpenAPI page of a running server."""

    def __init__(self, api: httpx.Client) -> None:
        self.document: dict[str, Any] = api.get("/openapi.json").json()
        shapes = [(re.sub(r"\\{[^}]+\\}", "[^/]+", re.escape(path)), path) for path in self.document["paths"]]
        self._shapes = [(re.compile(shape), path) for shape, path in shapes]

    def successes(self) -> Iterator[tuple[Place, dict[str, Any]]]:
        """Every 2xx answer with a body, with the declarations of its content types."""
        for path, calls in self.document["paths"].items():
            for method, operation in calls.items():
                for status, answer in operation["responses"].items():
                    if status.startswith("2") and status != "204":
                        yield (method, path, status), answer.get("content", {})

    def without_schema(self) -> list[Place]:
        """The 2xx answers in JSON that have no schema."""
        return [
            place
            for place, content in self.successes()
            if not content or (JSON in content and not content[JSON].get("schema"))
        ]

    def place_of(self, answer: httpx.Response) -> Place:
        """The page's entry for this answer; a path without parameters goes before one with parameters."""
        asked = answer.request.url.raw_path.decode().partition("?")[0]
        fitting = [path for shape, path in self._shapes if shape.fullmatch(asked)]
        path = min(fitting, key=lambda one: one.count("{"))
        return answer.request.method.lower(), path, str(answer.status_code)

    def flaws(self, answer: httpx.Response) -> list[str]:
        """The differences between the body of an answer and its schema, in words."""
        method, path, status = self.place_of(answer)
        declared = self.document["paths"][path][method]["responses"][status]["content"]
        kind = answer.headers["content-type"].partition(";")[0]
        schema = {**declared[kind]["schema"], "components": self.document["components"]}
        if kind != JSON:
            return []
        errors = Draft202012Validator(schema).iter_errors(answer.json())
        return [f"{method} {path} {error.json_path}: {error.message}" for error in errors]
