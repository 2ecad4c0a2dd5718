"""Endpoints: what is refused and how it is named, what is kept secret, and whose body a webhook has."""

from typing import Any

from fastapi.testclient import TestClient

from services.actions.storage import endpoints
from services.actions.storage.library import ENDPOINTS
from services.actions.storage.status import close_actions
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
    ({"method": "GET"}, "method"), ({"method": None}, "method"), ({"sign": "no"}, "sign"),
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
    ({"auth": {"digest": {}}}, "auth.digest"), ({"auth": {"oauth2": {"client_id": "a"}}}, "auth.oauth2.token_url"),
    ({"auth": {"oauth2": {"token_url": "ftp://a", "client_id": "a", "client_secret": "b"}}}, "auth.oauth2.token_url"),
    ({"auth": {"oauth2": {"token_url": "https://a", "client_id": "a"}}}, "auth.oauth2.client_secret"),
    ({"auth": {"oauth2": {"token_url": "https://a", "client_id": "a", "client_secret": "***"}}},
     "auth.oauth2.client_secret"),
    ({"rate": 0}, "rate"), ({"rate": -1}, "rate"), ({"rate": 1001}, "rate"), ({"rate": "5"}, "rate"),
    ({"rate": True}, "rate"),
    ({"secrets": ["***"]}, "secrets"), ({"secrets": "x"}, "secrets"), ({"secrets": [5]}, "secrets.0"),
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
    assert client.put("/v1/endpoints/crm", json=ENDPOINT).json()["secret"] == kept(house)["secrets"][0]


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


FIRST, SECOND, THIRD = (f"whsec_{letter * 32}" for letter in "ABC")


def test_a_signing_secret_is_replaced_in_two_steps(house: House, client: TestClient) -> None:
    def save(**more: Any) -> list[str]:
        answer = client.put("/v1/endpoints/crm", json=ENDPOINT | more)
        assert answer.status_code in (200, 201), answer.text
        assert FIRST not in answer.text.replace(f'"secret":"{FIRST}"', "")
        assert answer.json()["secrets"] == ["***"] * len(kept(house)["secrets"])
        return list(kept(house)["secrets"])

    assert save(secret=FIRST) == [FIRST]
    assert save() == [FIRST]
    assert save(secrets=["***", SECOND]) == [FIRST, SECOND]
    assert save(secrets=["***", SECOND]) == [FIRST, SECOND]  # a file that is applied again
    assert save(secrets=["***", "***"], secret=None) == [FIRST, SECOND]
    assert save(secrets=[None, "***"]) == [SECOND]
    assert save(secrets=[THIRD.removeprefix("whsec_"), "***"]) == [THIRD, SECOND]
    assert save(secrets=[THIRD]) == [THIRD]
    assert save(secret=FIRST) == [FIRST]
    assert save(secrets=[SECOND, FIRST], secret=FIRST) == [SECOND, FIRST]
    shown = client.get("/v1/endpoints/crm").json()
    assert save(**{name: shown[name] for name in ("secrets", "version", "status")}) == [SECOND, FIRST]


def test_a_secret_that_is_made_is_shown_once_and_one_that_is_given_is_not(
    house: House, client: TestClient
) -> None:
    made = client.post("/v1/endpoints", json=ENDPOINT).json()
    assert [made["secret"]] == kept(house)["secrets"]
    assert (
        "secret" not in client.put("/v1/endpoints/crm", json=ENDPOINT | {"secrets": ["***", SECOND]}).json()
    )
    anew = client.put("/v1/endpoints/crm", json=ENDPOINT | {"secrets": None}).json()
    assert kept(house)["secrets"] == [anew["secret"]] != [made["secret"]]
    gone = client.put("/v1/endpoints/crm", json=ENDPOINT | {"secrets": None, "sign": False}).json()
    assert not {"secret", "secrets"} & (gone.keys() | kept(house).keys())


def test_secrets_that_cannot_be_told_apart_are_refused(house: House, client: TestClient) -> None:
    client.post("/v1/endpoints", json=ENDPOINT | {"secrets": [FIRST, SECOND]})
    for given in (["***"], ["***", THIRD], ["***", "***", "***"], [FIRST, SECOND, THIRD], [THIRD, THIRD]):
        answer = client.put("/v1/endpoints/crm", json=ENDPOINT | {"secrets": given})
        assert (given, fields(answer)) == (given, ["secrets"])
        assert not any(one in answer.text for one in (FIRST, SECOND, THIRD))
    assert fields(client.put("/v1/endpoints/crm", json=ENDPOINT | {"secrets": ["***", "x"]})) == ["secrets.1"]
    wrong = ENDPOINT | {"secrets": [FIRST, SECOND], "secret": THIRD}
    assert fields(client.put("/v1/endpoints/crm", json=wrong)) == ["secret"]
    assert kept(house)["secrets"] == [FIRST, SECOND]


def test_an_endpoint_of_yesterday_keeps_its_secret(house: House, client: TestClient) -> None:
    with house.db.write() as connection:
        ENDPOINTS.put(connection, "crm", {"url": ENDPOINT["url"], "secret": FIRST}, "old", 1)
    assert client.get("/v1/endpoints/crm").json()["secrets"] == ["***"]
    client.put("/v1/endpoints/crm", json=ENDPOINT | {"secrets": ["***", SECOND]})
    assert kept(house)["secrets"] == [FIRST, SECOND]
    client.post("/v1/endpoints/crm/versions/1/publish")
    assert kept(house)["secret"] == FIRST


OAUTH = {
    "token_url": "https://login.test/token",
    "client_id": "us",
    "client_secret": "s3cr3t-4",
    "scope": "a b",
}


def test_the_secret_of_a_client_is_kept_and_never_shown(house: House, client: TestClient) -> None:
    shown = [client.post("/v1/endpoints", json=ENDPOINT | {"auth": {"oauth2": OAUTH}})]
    shown.append(client.put("/v1/endpoints/crm", json=shown[0].json() | {"secret": None}))
    bare = {name: value for name, value in OAUTH.items() if name != "client_secret"}
    shown.append(client.put("/v1/endpoints/crm", json=ENDPOINT | {"auth": {"oauth2": bare}}))
    shown.append(client.put("/v1/endpoints/crm", json=ENDPOINT))
    assert not any("s3cr3t" in one.text for one in shown)
    for one in shown:
        assert one.json()["auth"] == {"oauth2": OAUTH | {"client_secret": "***"}}
    assert kept(house)["auth"] == {"oauth2": OAUTH}


def test_checking_says_whether_secrets_would_change(client: TestClient) -> None:
    def differ(**more: Any) -> bool:
        answer = client.post("/v1/endpoints/check", json=ENDPOINT | more)
        assert answer.status_code == 200, answer.text
        assert answer.json()["warnings"] == []
        return bool(answer.json()["secrets_differ"])

    assert differ()  # one would be made
    client.post("/v1/endpoints", json=ENDPOINT | SECRETS | {"secret": FIRST})
    same: list[dict[str, Any]] = [{}, SECRETS, {"secret": FIRST}, {"secrets": ["***"]}, {"concurrency": 3}]
    assert not any(differ(**one) for one in same)
    others: list[dict[str, Any]] = [
        {"headers": {"X-Api-Key": "another"}}, {"headers": None}, {"auth": {"bearer": "t"}}, {"secret": SECOND},
        {"secrets": ["***", SECOND]},
    ]  # fmt: skip
    assert all(differ(**one) for one in others)
    assert fields(client.post("/v1/endpoints/check", json=ENDPOINT | {"auth": {"bearer": "***"}})) == [
        "auth.bearer"
    ]
    assert client.get("/v1/endpoints/crm").json()["version"] == 1


def test_an_endpoint_says_that_it_fails_and_nothing_of_it_is_written(
    house: House, client: TestClient
) -> None:
    made = client.post("/v1/endpoints", json=ENDPOINT).json()
    assert (made["status"], made["failing_since"]) == ("active", None)
    with house.db.write() as connection:
        endpoints.note(connection, [("crm", "timeout")], 1_000_000)
    shown = client.get("/v1/endpoints/crm").json()
    assert (shown["status"], shown["failing_since"]) == ("active", "1970-01-01T00:00:01Z")
    assert client.put("/v1/endpoints/crm", json=shown).json()["failing_since"] == shown["failing_since"]
    assert not {"status", "failing_since"} & kept(house).keys()
    assert client.post("/v1/endpoints/crm/enable").status_code == 409
    assert client.post("/v1/endpoints/none/enable").status_code == 404
    client.delete("/v1/endpoints/crm")
    assert client.post("/v1/endpoints", json=ENDPOINT).json()["failing_since"] is None


def test_a_disabled_endpoint_is_enabled_by_hand(house: House, client: TestClient) -> None:
    client.post("/v1/endpoints", json=ENDPOINT)
    for at in (1, 1 + endpoints.FAILS_US):
        with house.db.write() as connection:
            endpoints.note(connection, [("crm", "rejected")], at)
    assert client.get("/v1/endpoints").json()["items"][0]["status"] == "disabled"
    enabled = client.post("/v1/endpoints/crm/enable").json()
    assert (enabled["status"], enabled["failing_since"]) == ("active", None)
    assert client.post("/v1/endpoints/crm/enable").status_code == 409


def test_webhooks_are_asked_for_again(house: House, client: TestClient) -> None:
    body = {"after": "2020-01-01T00:00:00Z"}
    assert client.post("/v1/endpoints/crm/retry", json=body).status_code == 404
    client.post("/v1/endpoints", json=ENDPOINT)
    client.post("/v1/playbooks", json={"name": "chase", "steps": [{"webhook": {"endpoint": "crm"}}]})
    played(house, client)
    (before,) = client.get("/v1/actions?channel=webhook").json()["items"]
    with house.db.write() as connection:
        close_actions(connection, [before["id"]], "failed", "rejected", 1)
    late = {"after": before["due_at"]}
    assert client.post("/v1/endpoints/crm/retry", json=late).json() == {"count": 0}
    answer = client.post("/v1/endpoints/crm/retry", json=body)
    assert (answer.status_code, answer.json()) == (202, {"count": 1})
    (after,) = client.get("/v1/actions?channel=webhook").json()["items"]
    assert (after["id"], after["status"], after["reason"], after["done_at"]) == (
        before["id"],
        "pending",
        None,
        None,
    )
    for wrong, field in (({}, "after"), ({"after": "now"}, "after"), (body | {"status": "done"}, "status")):
        assert fields(client.post("/v1/endpoints/crm/retry", json=wrong)) == [field]
