"""Each registered event format over HTTP, by its own examples: routes, answers, the metric and the OpenAPI page."""

import httpx
import pytest

from backbone.telemetry import REGISTRY
from services.ingest.formats import FORMATS
from services.ingest.formats.base import Example
from tests.services.ingest.kit import Kit

every_format = pytest.mark.parametrize("name", FORMATS)


def _path(name: str, example: Example) -> str:
    calls = {call.name: call.paths[0] for call in FORMATS[name].calls}
    return calls.get(example.sent.call, "/v1/events")


def _counted(name: str) -> float:
    return REGISTRY.get_sample_value("touchline_events_accepted_total", {"source": name}) or 0.0


async def _post(kit: Kit, name: str, example: Example) -> httpx.Response:
    sent = example.sent
    return await kit.post(_path(name, example), content=sent.body, headers=dict(sent.headers))


@every_format
async def test_what_it_takes_is_on_the_log_and_counted_under_its_name(kit: Kit, name: str) -> None:
    before = _counted(name)
    answer = await _post(kit, name, FORMATS[name].taken)
    ack = FORMATS[name].acknowledgement
    assert answer.status_code == (202 if ack is None else ack.status), answer.text
    assert len(kit.events()) == _counted(name) - before > 0


@every_format
async def test_what_it_refuses_names_the_field_and_leaves_nothing(kit: Kit, name: str) -> None:
    before = _counted(name)
    example = FORMATS[name].refused
    answer = await _post(kit, name, example)
    problem = answer.json()
    if FORMATS[name].acknowledgement is None:
        assert (answer.status_code, [one["field"] for one in problem["errors"]]) == (422, [example.field])
    else:
        assert (answer.status_code, problem["code"]) == (400, "nothing_accepted")
        assert problem["detail"].startswith(f"{example.field}: ")
    assert (kit.events(), _counted(name)) == ([], before)


@every_format
async def test_the_page_shows_how_to_send_it(kit: Kit, name: str) -> None:
    page = (await kit.http.get("/openapi.json")).json()
    content = page["paths"]["/v1/events"]["post"]["requestBody"]["content"]
    for kind, said in FORMATS[name].content_types.items():
        assert (kind in content) == (said is not None)
    for call in FORMATS[name].calls:
        operation = page["paths"][call.paths[0]]["post"]
        [body] = operation["requestBody"]["content"].values()
        assert body["schema"] == {"$ref": f"#/components/schemas/{call.model.__name__}"}
        assert call.paths[-1] in operation["description"]
    for model in FORMATS[name].models:
        assert model.__name__ in page["components"]["schemas"]
