"""One secret for the life of a database: under another, people who unsubscribed would not be recognised."""

import hashlib
import hmac

from sqlalchemy import select

from backbone.database import Database, insert_new
from backbone.errors import ConfigurationError
from backbone.tables import facts

NAME = "secret_key"


def hold_to_secret(db: Database, key: bytes) -> None:
    """Note on the first start which secret is used; raise `ConfigurationError` if it is another one later.

    A keyed hash is stored, from which the secret cannot be recovered.
    """
    trace = hmac.new(key, b"touchline which secret", hashlib.sha256).digest()
    with db.write() as connection:
        insert_new(connection, facts, [{"name": NAME, "value": trace}], ["name"])
        kept = connection.execute(select(facts.c.value).where(facts.c.name == NAME)).scalar_one()
    if not hmac.compare_digest(kept, trace):
        raise ConfigurationError(
            "TOUCHLINE_SECRET_KEY: is not the one that this database was made with (embedded: secret.key in the "
            "data folder). With another, people who unsubscribed would get mail again: set it back. Where it is "
            f"lost for good, delete the row {NAME} of backbone_facts, and their suppressions with it"
        )
