"""Public keys as people paste them from a provider's page: PEM, or the base64 between its lines."""

import base64
import binascii

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key


def elliptic_key(text: str) -> EllipticCurvePublicKey:
    """The key. Raises `ValueError` if it is none on an elliptic curve."""
    lines = [line for line in text.replace("\\n", "\n").splitlines() if not line.startswith("-----")]
    try:
        found = load_der_public_key(base64.b64decode("".join(lines), validate=True))
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, EllipticCurvePublicKey):
        raise ValueError("should be a public key on an elliptic curve, as PEM or as the base64 in it")
    return found
