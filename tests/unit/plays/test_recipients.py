"""Who gets an email where some contacts are known only from calls that anybody may have made."""

from schemas.play_reasons import ActionReason
from schemas.profile import Contact, Profile
from services.actions.plays.recipients import resolve


def profile(*contacts: Contact, domains: tuple[str, ...] = ()) -> Profile:
    return Profile(id="acme", contacts={one.id: one for one in contacts}, domains=list(domains))


def stranger(name: str, **more: object) -> Contact:
    return Contact(id=name, email=f"{name}@evil.test", unvouched=True, **more)  # type: ignore[arg-type]


ANN = Contact(id="ann", email="ann@acme.test")
BOSS = Contact(id="boss", email="boss@acme.test", roles=["admin"])


def reached(known: Profile, to: str, contact: str | None = None) -> list[tuple[str, ActionReason | None]]:
    return [(one.identity, one.reason) for one in resolve(to, known, contact)]


def test_a_stranger_gets_no_mail() -> None:
    known = profile(stranger("eve"), ANN)
    assert reached(known, "contact", "eve") == [("eve", ActionReason.UNVOUCHED)]
    assert reached(known, "contact", "ann") == [("ann", None)]
    assert reached(known, "all") == [("ann", None), ("eve", ActionReason.UNVOUCHED)]
    assert reached(profile(stranger("eve")), "contact") == [("eve", ActionReason.UNVOUCHED)]


def test_a_stranger_takes_nobodys_place() -> None:
    assert reached(profile(stranger("eve"), ANN), "contact") == [("ann", None)]
    assert reached(profile(stranger("eve", roles=["admin"]), ANN, BOSS), "contact") == [("boss", None)]
    assert reached(profile(stranger("eve", roles=["admin"]), ANN), "contact") == [("ann", None)]
    same = Contact(id="eve", email="ann@acme.test", unvouched=True)
    assert reached(profile(same, ANN), "all") == [("ann", None), ("eve", ActionReason.UNVOUCHED)]


def test_one_address_in_two_spellings_gets_one_mail() -> None:
    spelled = ("ann@bücher.test", "ANN@BÜCHER.test", "ann@xn--bcher-kva.test", "ann@other.test")
    known = profile(*(Contact(id=str(place), email=one) for place, one in enumerate(spelled)))
    twice = ActionReason.DUPLICATE_RECIPIENT
    assert reached(known, "all") == [("0", None), ("1", twice), ("2", twice), ("3", None)]


def test_an_address_in_the_accounts_domains_vouches() -> None:
    known = profile(stranger("eve"), domains=("evil.test",))
    assert reached(known, "contact") == [("eve", None)]
    assert reached(profile(stranger("eve"), domains=("acme.test",)), "contact") == [
        ("eve", ActionReason.UNVOUCHED)
    ]


def test_other_reasons_go_first() -> None:
    silent = Contact(id="s", unvouched=True)
    gone = Contact(id="g", email="g@x.test", active=False, unvouched=True)
    assert reached(profile(silent, gone), "all") == [
        ("s", ActionReason.NO_ADDRESS),
        ("g", ActionReason.CONTACT_INACTIVE),
    ]
