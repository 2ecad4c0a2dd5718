"""`touchline apply`: what it says, what it asks before, what it deletes; on a server that only holds documents."""

import io
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.fake import Fake

RULE = "kind: rule\nname: {name}\nwhen: {{threshold: {{event: e, at_least: 1}}}}\nplaybook: book\nstatus: {status}\n"
BOOK = "kind: playbook\nname: {name}\nsteps:\n  - email: {{template: mail}}\n  - webhook: {{endpoint: crm}}\n"
MAIL = "kind: template\nname: mail\nsubject: Hi\nmarkdown: Hello\n"
CRM = "kind: endpoint\nname: crm\nurl: https://crm.test/in\n"
TIERS = "kind: tiers\ntiers:\n  - tier: high\n    where: {{account.attributes.arr: {{gte: {arr}}}}}\n  - tier: tech\n"
WHEN = {"threshold": {"event": "e", "at_least": 1}}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fake:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    return Fake(monkeypatch, capsys)


def write(folder: Path, **files: str) -> str:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return str(folder)


def all_of_it(folder: Path, status: str = "active", arr: int = 5) -> str:
    rule, book = RULE.format(name="a", status=status), BOOK.format(name="book")
    return write(folder, rule=rule, book=book, mail=MAIL, crm=CRM, tiers=TIERS.format(arr=arr))


def test_words_and_their_sum(server: Fake, tmp_path: Path) -> None:
    folder = all_of_it(tmp_path, status="draft")
    code, out, err = server.touchline("apply", folder)
    assert (code, err) == (0, "")
    assert out.splitlines()[:-1] == [
        *("created   tiers", "created   endpoint crm", "created   template mail"),
        *("created   playbook book", "created   rule a"),
    ]
    assert out.splitlines()[-1].startswith("5 created; 1 draft, next: POST /v1/rules/NAME/shadow, ")
    assert server.calls == [
        "PUT tiers",
        "PUT endpoints/crm",
        "PUT templates/mail",
        "PUT playbooks/book",
        "PUT rules/a",
    ]

    write(tmp_path, mail=MAIL.replace("Hello", "Goodbye"), rule=RULE.format(name="a", status="active"))
    code, out, err = server.touchline("apply", folder)
    assert (code, err) == (0, ""), "a draft is activated without a question"
    assert "updated   template mail\n" in out
    assert "updated   rule a (draft → active)\n" in out
    assert out.splitlines()[-1] == "2 updated, 3 unchanged"
    assert server.touchline("apply", folder)[1].splitlines()[-1] == "5 unchanged"
    assert server.calls == []


@pytest.mark.parametrize("dry", [True, False])
def test_what_is_paused_stays_so_without_a_yes(server: Fake, tmp_path: Path, dry: bool) -> None:
    folder = all_of_it(tmp_path)
    server.touchline("apply", folder)
    server.save("/v1/rules/a", when=WHEN, playbook="book", status="paused")
    write(tmp_path, mail=MAIL.replace("Hello", "Goodbye"))
    code, out, err = server.touchline("apply", folder, *(["--dry-run"] if dry else []))
    assert server.calls == []
    if dry:
        assert code == 0
        assert "updated   rule a (paused → active)" in out
        assert "would ask: rule a: paused → active" in out
        assert out.splitlines()[-2:] == ["would ask: rule a: paused → active", "dry run: nothing was applied"]
    else:
        assert (code, out) == (1, "")
        assert "rule a: paused → active" in err
        assert "no terminal to ask on" in err
        assert "--yes" in err
        assert err.endswith("nothing was applied\n")
    code, out, _ = server.touchline("apply", folder, "--yes")
    assert code == 0
    assert server.documents["/v1/rules/a"]["status"] == "active"
    assert "updated   rule a (paused → active)" in out


def test_a_file_without_a_status_wakes_nothing_and_asks_nothing(server: Fake, tmp_path: Path) -> None:
    folder = all_of_it(tmp_path)
    server.touchline("apply", folder)
    server.save("/v1/rules/a", when=WHEN, playbook="book", status="paused")
    write(tmp_path, rule=RULE.format(name="a", status="paused").replace("status: paused\n", "cooldown: 1d\n"))
    code, out, _ = server.touchline("apply", folder)
    assert (code, "updated   rule a\n" in out) == (0, True)
    assert server.documents["/v1/rules/a"]["status"] == "paused"


def test_tiers_are_replaced_after_a_yes(server: Fake, tmp_path: Path) -> None:
    folder = all_of_it(tmp_path)
    assert server.touchline("apply", folder)[0] == 0, "the first ones replace nothing"
    write(tmp_path, tiers=TIERS.format(arr=9))
    code, _, err = server.touchline("apply", folder)
    assert (code, server.calls) == (1, [])
    assert "tiers: replaces version 1, saved by ann" in err
    code, out, _ = server.touchline("apply", folder, "--yes")
    assert (code, server.calls) == (0, ["PUT tiers"])
    assert "updated   tiers\n" in out


@pytest.mark.parametrize(("answer", "goes"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_it_asks_on_a_terminal(
    server: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, goes: bool
) -> None:
    folder = all_of_it(tmp_path)
    server.touchline("apply", folder)
    write(tmp_path, tiers=TIERS.format(arr=9))
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    code, _, err = server.touchline("apply", folder)
    assert "Go on? [y/N]" in err
    assert (code, bool(server.calls)) == ((0, True) if goes else (1, False))


def more(server: Fake) -> None:
    """What no file has."""
    for path in ("rules/old-rule", "playbooks/old-book", "templates/old-mail", "endpoints/old-crm"):
        kind: dict[str, dict[str, Any]] = {
            "rules": {"when": WHEN, "playbook": "old-book", "status": "active"},
            "playbooks": {"steps": [{"email": {"template": "old-mail"}}]},
            "templates": {"subject": "s", "markdown": "m"},
            "endpoints": {"url": "https://old.test"},
        }
        server.save(f"/v1/{path}", **kind[path.partition("/")[0]])


def test_what_only_the_server_has_is_named_and_stays(server: Fake, tmp_path: Path) -> None:
    folder = all_of_it(tmp_path)
    more(server)
    server.save("/v1/rules/\x1b[2Jevil", when=WHEN)
    code, out, _ = server.touchline("apply", folder)
    assert code == 0
    assert (
        "  rule: \\x1b[2Jevil, old-rule\n  playbook: old-book\n  template: old-mail\n  endpoint: old-crm\n"
        in out
    )
    assert not [call for call in server.calls if call.startswith("DELETE")]


def test_prune_deletes_in_order_after_a_yes(server: Fake, tmp_path: Path) -> None:
    folder = all_of_it(tmp_path)
    more(server)
    code, _, err = server.touchline("apply", folder, "--prune")
    assert (code, server.calls) == (1, [])
    assert "deletes 1 rules: old-rule" in err
    code, out, _ = server.touchline("apply", folder, "--prune", "--dry-run")
    assert (code, server.calls) == (0, [])
    assert "deleted   template old-mail" in out
    code, out, _ = server.touchline("apply", folder, "--prune", "--yes")
    assert code == 0
    assert out.splitlines()[-1] == "5 created, 4 deleted"
    assert server.calls[-4:] == [
        *("DELETE rules/old-rule", "DELETE playbooks/old-book"),
        *("DELETE templates/old-mail", "DELETE endpoints/old-crm"),
    ]
    assert server.touchline("apply", folder, "--prune")[0] == 0, "nothing left to ask about"


def test_prune_leaves_what_the_files_need(server: Fake, tmp_path: Path) -> None:
    more(server)
    book = BOOK.format(name="book").replace("mail}", "old-mail}").replace("crm}", "old-crm}")
    rule = RULE.format(name="a", status="active")
    folder = write(
        tmp_path,
        book=book,
        rule=rule,
        other=rule.replace("name: a", "name: b").replace(": book", ": old-book"),
    )
    code, out, err = server.touchline("apply", folder, "--prune", "--yes")
    assert (code, out, server.calls) == (1, "", [])
    assert (
        f"{folder}/book.yaml:4: playbook book: steps.0.email.template: --prune would delete the template old-mail"
        in err
    )
    assert f"{folder}/book.yaml:5: playbook book: steps.1.webhook.endpoint: --prune would delete" in err
    assert f"{folder}/other.yaml:4: rule b: playbook: --prune would delete the playbook old-book" in err
    assert server.touchline("apply", folder)[0] == 0, "without --prune it is all there"


def test_what_cannot_be_deleted_is_named(server: Fake, tmp_path: Path) -> None:
    folder = all_of_it(tmp_path)
    more(server)

    def refuses(method: str, path: str) -> tuple[int, dict[str, Any]] | None:
        return (
            (409, {"detail": "rule x uses it"})
            if (method, path) == ("DELETE", "/v1/playbooks/old-book")
            else None
        )

    server.refuses = refuses
    code, out, err = server.touchline("apply", folder, "--prune", "--yes")
    assert code == 1
    assert err == "playbook old-book was not deleted: rule x uses it\n"
    assert out.splitlines()[-1] == "5 created, 3 deleted"


def test_files_without_a_document_delete_nothing(server: Fake, tmp_path: Path) -> None:
    more(server)
    code, _, err = server.touchline("apply", write(tmp_path, empty="# later\n"), "--prune", "--yes")
    assert (code, server.calls) == (1, [])
    assert "empty.yaml:1: holds no document" in err


def test_somebody_elses_change_meanwhile_is_not_overwritten(server: Fake, tmp_path: Path) -> None:
    folder = all_of_it(tmp_path)
    server.touchline("apply", folder)
    write(tmp_path, mail=MAIL.replace("Hello", "Goodbye"))

    def meanwhile(method: str, path: str) -> None:
        if method == "PUT" and path == "/v1/templates/mail":
            server.refuses = lambda _method, _path: None
            server.save("/v1/templates/mail", subject="Theirs", markdown="m")

    server.refuses = meanwhile
    code, _, err = server.touchline("apply", folder)
    assert code == 1
    assert "template mail: somebody changed it on the server meanwhile" in err
    assert server.documents["/v1/templates/mail"]["subject"] == "Theirs"


def test_a_secret_that_the_server_made_is_shown(server: Fake, tmp_path: Path) -> None:
    save = server.save

    def with_secret(path: str, **document: Any) -> None:
        save(path, **document)
        if path.startswith("/v1/endpoints/"):
            server.documents[path].setdefault("secret", "whsec_made")

    server.save = with_secret  # type: ignore[method-assign]
    given = CRM.replace("crm", "given") + "secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"
    _, out, _ = server.touchline("apply", write(tmp_path, made=CRM, given=given))
    assert "the secret of endpoint crm, shown this once: whsec_made" in out
    assert "whsec_Mf" not in out


OAUTH = {"token_url": "https://a.test", "client_id": "us"}
GIVEN_SECRETS = (
    "secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    'secrets: ["***", whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw]',
    "auth: {oauth2: {token_url: https://a.test, client_id: us, client_secret: shh}}",
)
KEYED = CRM + "headers: {X-Key: k-1, X-Two: k-2}\nauth: {basic: {username: ann, password: pass}}\n"


def test_secrets_that_only_the_server_can_compare(server: Fake, tmp_path: Path) -> None:
    """A token that is new in the file is saved, the same one is not, and nothing is said of either."""
    hidden = {
        "headers": {"X-Key": "***", "X-Two": "***"},
        "auth": {"basic": {"username": "ann", "password": "***"}},
    }
    server.save("/v1/endpoints/crm", url="https://crm.test/in", secrets=["***"], **hidden)
    folder = write(tmp_path, crm=KEYED)
    server.others = {"crm"}
    _, out, _ = server.touchline("apply", folder, "--dry-run")
    assert ("1 updated" in out, "the secrets are not those on the server" in out) == (True, True)
    assert server.touchline("apply", folder)[1].splitlines()[-1] == "1 updated"
    assert server.calls == ["PUT endpoints/crm"]
    server.others = set()
    assert server.touchline("apply", folder)[1].splitlines()[-1] == "1 unchanged"
    for text in GIVEN_SECRETS:
        shown = {"auth": {"oauth2": OAUTH | {"client_secret": "***"}}} if "oauth2" in text else {}
        server.save("/v1/endpoints/crm", url="https://crm.test/in", secrets=["***"])
        server.documents["/v1/endpoints/crm"] |= shown
        server.others = set()
        write(tmp_path, crm=CRM + text + "\n")
        assert server.touchline("apply", folder)[1].splitlines()[-1] == "1 unchanged"
        server.others = {"crm"}
        _, out, _ = server.touchline("apply", folder, "--dry-run")
        assert "1 updated" in out
        assert not any(one in out for one in ("whsec_Mf", "shh"))
    server.refuses = lambda _, path: (403, {"detail": "no"}) if path.endswith("/check") else None
    assert "1 unchanged" in server.touchline("apply", folder, "--dry-run")[1]


def test_an_endpoint_that_is_put_back_has_the_secrets_that_it_had(server: Fake, tmp_path: Path) -> None:
    server.save("/v1/endpoints/crm", url="https://old.test/", headers={"X-Key": "***"})
    server.refuses = lambda method, path: (
        (422, {"detail": "no"}) if (method, path) == ("PUT", "/v1/templates/mail") else None
    )
    code, _, _ = server.touchline("apply", write(tmp_path, crm=KEYED, mail=MAIL))
    assert code == 1
    assert server.calls == ["PUT endpoints/crm", "POST endpoints/crm/versions/1/publish"]


def test_the_secrets_of_an_endpoint_are_not_compared(server: Fake, tmp_path: Path) -> None:
    shown = {
        "headers": {"X-Key": "***", "X-Two": "***"},
        "auth": {"basic": {"username": "ann", "password": "***"}},
    }
    server.save("/v1/endpoints/crm", url="https://crm.test/in", method="POST", **shown)
    for same in (KEYED, CRM, KEYED.replace("k-1", '"***"'), KEYED.replace(", password: pass", "")):
        _, out, _ = server.touchline("apply", write(tmp_path, crm=same))
        assert (out.splitlines()[-1], server.calls) == ("1 unchanged", [])
    other = [
        KEYED.replace(", X-Two: k-2", ""),
        KEYED.replace("ann", "bob"),
        CRM + "headers:\n",
        CRM + "auth:\n",
    ]
    for changed in other:
        _, out, _ = server.touchline("apply", write(tmp_path, crm=changed), "--dry-run")
        assert "1 updated" in out
        assert not any(secret in out for secret in ("k-1", "k-2", "pass}", "password: pass"))


def test_the_example_endpoints_can_be_applied(server: Fake) -> None:
    _, out, err = server.touchline("apply", "examples/endpoints.yaml")
    assert (out.splitlines()[-1], err) == ("3 created", "")


def test_aliases_are_a_document_of_which_there_is_one(server: Fake, tmp_path: Path) -> None:
    folder = write(tmp_path, aliases="kind: aliases\naliases:\n  account_signed_up: account.signed_up\n")
    code, out, _ = server.touchline("apply", folder)
    assert (code, out.splitlines()[0], server.calls) == (0, "created   aliases", ["PUT aliases"])
    assert server.touchline("apply", folder)[1].splitlines()[-1] == "1 unchanged"
    write(tmp_path, aliases="kind: aliases\naliases: {}\n")
    code, _, err = server.touchline("apply", folder)
    assert "aliases: replaces version 1, saved by ann" in err
    write(tmp_path, aliases="kind: aliases\naliases: {signed_up: account.updated}\n")
    code, _, err = server.touchline("apply", folder)
    assert code == 1
    assert "aliases: aliases.signed_up: must not be a reserved type" in err


def test_the_policy_is_checked_asked_about_and_replaced(server: Fake, tmp_path: Path) -> None:
    folder = write(tmp_path, policy="kind: policy\nhours: {from: 08:00, to: 18:00}\nholidays: [2026-12-25]\n")
    code, out, _ = server.touchline("apply", folder)
    assert (code, out.splitlines()[0], server.calls) == (0, "created   policy", ["PUT policy"])
    assert server.documents["/v1/policy"]["hours"] == {"from": "08:00", "to": "18:00"}
    assert server.touchline("apply", folder)[1].splitlines()[-1] == "1 unchanged"
    write(tmp_path, policy="kind: policy\nhours: {from: 09:00, to: 18:00}\n")
    code, _, err = server.touchline("apply", folder)
    assert (code, server.calls) == (1, [])
    assert "policy: replaces version 1, saved by ann" in err
    server.refuses = lambda _, path: (200, {"warnings": [DOUBT]}) if path == "/v1/policy/check" else None
    code, _, err = server.touchline("apply", "--yes", folder)
    assert code == 0
    assert "policy.yaml:2: policy: hours.from: early" in "".join(err.splitlines())
    write(tmp_path, policy="kind: policy\nhours: {from: 18:00, to: 08:00}\n")
    code, _, err = server.touchline("apply", folder)
    assert code == 1
    assert "policy.yaml:2: policy: hours.to: must be later than from" in "".join(err.splitlines())


def test_the_policy_is_compared_with_the_playbooks_of_files_and_server(server: Fake, tmp_path: Path) -> None:
    mail = {"email": {"template": "t"}}
    server.save("/v1/templates/t", subject="Hi", markdown="Hello")
    server.save("/v1/playbooks/far", steps=[mail, mail], topic="offers")
    narrow = "caps:\n- {at_most: 1, within: 7d, except_topics: [bills]}\nwait_at_most: 1d\n"
    folder = write(tmp_path, policy=f"kind: policy\n{narrow}")
    _, _, err = server.touchline("apply", folder)
    said = "".join(err.splitlines())
    assert "policy.yaml:3: policy: caps.0: the mail steps.1.email of far never goes out" in said
    assert "policy.yaml:3: policy: caps.0.except_topics.0: no playbook has the topic bills" in said
    files = tmp_path / "books"
    files.mkdir()
    near = "kind: playbook\nname: near\nsteps:\n- email: {template: t}\n- email: {template: t}\n"
    (files / "near.yaml").write_text(near)
    _, _, err = server.touchline("apply", str(files))
    said = "".join(err.splitlines())
    assert "near.yaml:5: playbook near: steps.1.email: never goes out" in said
    assert "far" not in said
    (files / "near.yaml").write_text(near.replace("steps:", "topic: bills\nsteps:"))
    assert server.touchline("apply", str(files))[2] == ""


DOUBT = {"field": "hours.from", "message": "early"}


def test_a_key_for_rules_alone_applies_rules(server: Fake, tmp_path: Path) -> None:
    more(server)

    def forbids(_method: str, path: str) -> tuple[int, dict[str, Any]] | None:
        hidden = path.startswith(("/v1/playbooks", "/v1/templates", "/v1/endpoints"))
        return (403, {"detail": "the key 'x' lacks the scope actions:read"}) if hidden else None

    server.refuses = forbids
    folder = write(tmp_path, rule=RULE.format(name="a", status="draft"))
    code, out, err = server.touchline("apply", folder)
    assert (code, err, server.calls) == (0, "", ["PUT rules/a"])
    assert "  rule: old-rule\n" in out
    assert "not looked at: playbook, template, endpoint (the key 'x' lacks the scope actions:read)" in out
    for words in (["--prune", "--yes"], ["--prune", "--dry-run"]):
        code, _, err = server.touchline("apply", folder, *words)
        assert (code, server.calls) == (1, []), "what cannot be seen is not deleted"
        assert "lacks the scope" in err
    code, _, err = server.touchline("apply", write(tmp_path, book=BOOK.format(name="b")))
    assert (code, server.calls) == (1, [])
