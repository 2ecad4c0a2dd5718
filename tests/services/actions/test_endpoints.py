"""Endpoints: what is refused and how it is named, what is kept secret, and whose body a webhook has."""

from typing import Any

from fastapi.testclient import TestClient

from services.actions.storage.library import ENDPOINTS
from tests.services.actions.kit import House
from tests.services.actions.test_api import ENDPOINT, client, fields, played

__all__ = ["client"]  # the fixture

SECRETS: dict[str, Any] = {
    "headers": {"X-Api-Key": "s3cr3t-1", "X-Two": "s3cr3t-2"},
    "auth": {"basic": {"username": "ann", "password": "s3cr3t-3"}},
}


def kept(house: House) -> dict[str, Any]:
    """The endpoint as it is stored."""
    with house.db.read() as connection:
        stored = ENDPOINTS.fetch(connection, "crm")
    return dict(stored.doc)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"method": "GET"}, "method"), ({"method": None}, "method"), ({"sign": "yes, please"}, "sign"),
    ({"concurrency": 0}, "concurrency"), ({"concurrency": 101}, "concurrency"), ({"concurrency": "5"}, "concurrency"),
    ({"format": "xml"}, "format"), ({"headers": ["X-A"]}, "headers"), ({"headers": {"Host": "a"}}, "headers"),
    ({"headers": {"content-type": "a"}}, "headers"), ({"headers": {"Webhook-Id": "a"}}, "headers"),
    ({"headers": {"transfer-encoding": "chunked"}}, "headers"), ({"headers": {"X A": "a"}}, "headers"),
    ({"headers": {"X-A": "a", "x-a": "b"}}, "headers"), ({"headers": {"X-A": "a\r\nX-B: b"}}, "headers.X-A"),
    ({"headers": {"X-A": "ü"}}, "headers.X-A"), ({"headers": {"X-A": ""}}, "headers.X-A"),
    ({"headers": {f"X-{n}": "a" for n in range(21)}}, "headers"), ({"headers": {"X-A": 5}}, "headers.X-A"),
    ({"headers": {"X-A": "***"}}, "headers.X-A"), ({"auth": {}}, "auth"), ({"auth": {"bearer": None}}, "auth"),
    ({"auth": {"bearer": "a", "basic": {"username": "a", "password": "b"}}}, "auth"),
    ({"auth": {"bearer": "a b"}}, "auth.bearer"), ({"auth": {"bearer": "***"}}, "auth.bearer"),
    ({"auth": {"basic": {"username": "a"}}}, "auth.basic.password"),
    ({"auth": {"basic": {"username": "a:b", "password": "c"}}}, "auth.basic.username"),
    ({"auth": {"basic": {"username": "a", "password": "***"}}}, "auth.basic.password"),
    ({"auth": {"digest": {}}}, "auth.digest"),
    ({"auth": {"bearer": "a"}, "headers": {"authorization": "b"}}, "auth"),
    ({"body": {"a": ["{{"]}}, "body.a.0"),
    ({"body": ["a"], "format": "form"}, "body"), ({"colour": "red"}, "colour"),
]  # fmt: skip


def test_wrong_endpoints_are_named_by_their_field(client: TestClient) -> None:
    for given, field in WRONG:
        assert (given, fields(client.post("/v1/endpoints", json=ENDPOINT | given))) == (given, [field])
    assert client.get("/v1/endpoints").json()["items"] == []


def test_an_endpoints_secrets_are_kept_and_never_shown(house: House, client: TestClient) -> None:
    masked = {
        "headers": {"X-Api-Key": "***", "X-Two": "***"},
        "auth": {"basic": {"username": "ann", "password": "***"}},
    }
    shown = [client.post("/v1/endpoints", json=ENDPOINT | SECRETS), client.get("/v1/endpoints/crm")]
    shown.append(client.put("/v1/endpoints/crm", json=shown[1].json()))  # what was shown, given back
    shown.append(client.put("/v1/endpoints/crm", json=ENDPOINT | {"sign": False}))  # all left out
    shown += [client.get("/v1/endpoints"), client.get("/v1/endpoints/crm/versions")]
    assert not any("s3cr3t" in one.text for one in shown)
    for one in shown[:4]:
        assert {name: one.json()[name] for name in SECRETS} == masked
    assert {name: kept(house)[name] for name in SECRETS} == SECRETS


def test_headers_are_the_whole_map_and_null_removes(house: House, client: TestClient) -> None:
    client.post("/v1/endpoints", json=ENDPOINT | SECRETS)
    client.put(
        "/v1/endpoints/crm", json=ENDPOINT | {"headers": {"x-api-key": "***", "X-New": "n", "X-None": None}}
    )
    assert kept(house)["headers"] == {"x-api-key": "s3cr3t-1", "X-New": "n"}
    renamed = {"auth": {"basic": {"username": "bob"}}}
    client.put("/v1/endpoints/crm", json=ENDPOINT | renamed)
    assert kept(house)["auth"] == {"basic": {"username": "bob", "password": "s3cr3t-3"}}
    assert fields(client.put("/v1/endpoints/crm", json=ENDPOINT | {"auth": {"bearer": "***"}})) == [
        "auth.bearer"
    ]
    assert fields(client.put("/v1/endpoints/crm", json=ENDPOINT | {"headers": {"X-Two": "***"}})) == [
        "headers.X-Two"
    ]
    gone = client.put("/v1/endpoints/crm", json=ENDPOINT | {"headers": None, "auth": None}).json()
    assert not {"headers", "auth"} & (gone.keys() | kept(house).keys())


def test_what_is_deleted_takes_its_secrets_along(client: TestClient) -> None:
    client.post("/v1/endpoints", json=ENDPOINT | SECRETS)
    client.delete("/v1/endpoints/crm")
    assert fields(client.post("/v1/endpoints", json=ENDPOINT | {"headers": {"X-Two": "***"}})) == [
        "headers.X-Two"
    ]


def test_an_endpoint_that_does_not_sign_has_no_secret(house: House, client: TestClient) -> None:
    made = client.post("/v1/endpoints", json=ENDPOINT | {"sign": False}).json()
    assert "secret" not in made.keys() | kept(house).keys()
    assert client.put("/v1/endpoints/crm", json=ENDPOINT).json()["secret"] == kept(house)["secret"]


def test_the_endpoints_body_is_used_where_the_step_has_none(house: House, client: TestClient) -> None:
    body = {"id": "{{ account.id }}"}  # this house leaves templates as they are
    client.post("/v1/endpoints", json=ENDPOINT | {"body": body})
    steps = [
        {"webhook": {"endpoint": "crm"}},
        {"webhook": {"endpoint": "crm", "body": {"mine": "{{ tier }}"}}},
    ]
    assert client.post("/v1/playbooks", json={"name": "chase", "steps": steps}).status_code == 201
    played(house, client)
    items = client.get("/v1/actions?channel=webhook").json()["items"]
    bodies = [client.get(f"/v1/actions/{one['id']}").json()["rendered"]["body"] for one in items]
    assert len(bodies) == 2
    assert body in bodies
    assert {"mine": "{{ tier }}"} in bodies
