"""An account's own mail domains: people with an address there belong to the account. Nothing is looked up."""

from schemas.addresses import BadAddress, is_address, valid_address

MAX_DOMAINS = 100

# The best-known domains where anybody gets an address. Those with an ending for each country are below.
PUBLIC = frozenset(
    """
    126.com 139.com 163.com 10minutemail.com aim.com alice.it aol.com att.net bellsouth.net bigpond.com bk.ru
    bluewin.ch bol.com.br btinternet.com centrum.cz charter.net comcast.net cox.net daum.net docomo.ne.jp
    earthlink.net email.cz email.com ezweb.ne.jp fastmail.com fastmail.fm foxmail.com free.fr freenet.de
    gmail.com googlemail.com guerrillamail.com hanmail.net hey.com home.nl hushmail.com icloud.com ig.com.br
    inbox.lv inbox.ru interia.pl internode.on.net i.ua juno.com kpnmail.nl laposte.net libero.it list.ru mac.com
    mail.com mail.de mail.ee mail.ru mailbox.org mailinator.com me.com msn.com nate.com naver.com neuf.fr o2.pl
    onet.pl op.pl optonline.net optusnet.com.au orange.fr passport.com pm.me posteo.de proton.me protonmail.ch
    protonmail.com qq.com rambler.ru rediffmail.com rocketmail.com rogers.com sbcglobal.net seznam.cz sfr.fr
    shaw.ca sina.cn sina.com skynet.be sky.com sohu.com sympatico.ca t-online.de talktalk.net telenet.be
    temp-mail.org terra.com.br tiscali.it trashmail.com tuta.com tuta.io tutamail.com tutanota.com tutanota.de
    ukr.net uol.com.br verizon.net videotron.ca virgilio.it virginmedia.com vk.com wanadoo.fr web.de wp.pl
    xtra.co.nz yeah.net ymail.com yopmail.com ziggo.nl zohomail.com
    """.split()  # noqa: SIM905 - a hundred lines otherwise
)
_EVERYWHERE = frozenset({"gmx", "hotmail", "live", "outlook", "yahoo", "yandex", "zoho"})


class BadDomain(ValueError):
    """The text is not a domain, or is one that belongs to nobody in particular."""


def valid_domain(text: object) -> str:
    """The domain in lower case and ASCII; raises `BadDomain` with what is wrong and what is allowed."""
    given = text.strip().lower() if isinstance(text, str) else ""
    try:
        domain = valid_address(f"x@{given}").rpartition("@")[2].lower()
    except BadAddress:
        domain = ""
    if not domain or not is_address(f"x@{domain}"):
        raise BadDomain(f"should be a domain such as acme.com, not {str(text)[:100]!r}")
    if is_public(domain):
        raise BadDomain(
            f"{domain} is a public mail provider, where anybody has an address: name the account's own"
        )
    return domain


def is_public(domain: str) -> bool:
    """Whether anybody can get an address there, as far as we know."""
    name, _, end = domain.partition(".")
    country = end.removeprefix("com.").removeprefix("co.")
    return domain in PUBLIC or (name in _EVERYWHERE and "." not in country)


def domain_of(address: str | None) -> str | None:
    """The domain of an address, as in `domains`; None: it is no address."""
    try:
        return valid_address(address).rpartition("@")[2].lower()
    except BadAddress:
        return None
