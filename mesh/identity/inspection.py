"""What certificates say of themselves, for operators."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from cryptography import x509
from cryptography.exceptions import InvalidSignature


class Standing(Enum):
    """How much of its time a certificate has left. Consul renews one after 60 to 90 % of it."""

    SOUND = "sound"
    ENDING = "less than 20 % of its time is left"
    OVERDUE = "less than 10 % of its time is left: it should have been renewed"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Inspected:
    """A certificate, and by whom it is signed."""

    spiffe_id: str
    """Empty if it names none."""
    issued: datetime
    expires: datetime
    signer: str | None
    """The name of the root that it leads to; None: to none that is trusted."""

    @classmethod
    def of(cls, chain: Sequence[x509.Certificate], roots: Iterable[x509.Certificate]) -> "Inspected":
        """`chain`: the leaf first, then certificates that may lead to one of `roots`."""
        leaf, *between = chain
        root = _signer(leaf, between, tuple(roots))
        signer = name(root) if root else None
        return cls(_uri(leaf), leaf.not_valid_before_utc, leaf.not_valid_after_utc, signer)

    def standing(self, now: datetime) -> Standing:
        return standing(self.issued, self.expires, now)


def standing(issued: datetime, expires: datetime, now: datetime) -> Standing:
    left: timedelta = expires - now
    share = left / (expires - issued)
    if share <= 0:
        return Standing.EXPIRED
    return Standing.OVERDUE if share < 0.1 else Standing.ENDING if share < 0.2 else Standing.SOUND


def name(root: x509.Certificate) -> str:
    """Its common name, which Consul makes anew for each root."""
    names = root.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if names else root.subject.rfc4514_string()


def _signer(
    certificate: x509.Certificate, between: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> x509.Certificate | None:
    for root in roots:
        if _signed(certificate, root):
            return root
    for each in between:
        if _signed(certificate, each):
            return _signer(each, [other for other in between if other is not each], roots)
    return None


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def _uri(leaf: x509.Certificate) -> str:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), "")
