"""A certificate authority for one's own broker: keys on P-256, certificates by RFC 5280, files that are made once.

A home has no name that a public authority would certify. So the household makes an authority of its own, gives its
certificate to whoever connects, and keeps its key where nobody else reads it. Nothing is ever overwritten: an authority
that was replaced by accident locks out everybody who trusted the old one.

A client certificate is a second factor beside the password, never instead of it: a broker may forget to end the session
of a user who came in by a certificate alone.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from node.runtime.broker.errors import BrokerSettingsError, CertificateExists, CertificateInvalid

__all__ = [
    "AUTHORITY_DAYS",
    "LEAF_DAYS",
    "CertificateFiles",
    "client_context",
    "issue_client",
    "issue_server",
    "make_authority",
    "server_context",
]

AUTHORITY_DAYS = 3_650
LEAF_DAYS = 397
"""Longer ones are refused by browsers and by some MQTT clients."""

_SKEW = datetime.timedelta(hours=1)
_FILE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where a certificate (the chain, PEM) and its key (PKCS #8, PEM, for its owner only) are."""

    certificate: Path
    key: Path


def make_authority(folder: Path, name: str, now: datetime.datetime, *, days: int = AUTHORITY_DAYS) -> CertificateFiles:
    """A new authority in `folder`: authority.pem and authority.key. Raises CertificateExists."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _named(name)
    built = _builder(subject, subject, key.public_key(), now, days)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    built = built.add_extension(_usage(signs_certificates=True), critical=True)
    built = built.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    return _write(folder, "authority", key, [built.sign(key, hashes.SHA256())])


def issue_server(
    folder: Path, authority: CertificateFiles, hosts: Sequence[str], now: datetime.datetime, *, days: int = LEAF_DAYS
) -> CertificateFiles:
    """A broker's certificate for host names and addresses, as server.pem and server.key."""
    if not hosts:
        raise BrokerSettingsError("a server certificate needs a host name or address")
    names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    return _issue(folder, "server", authority, hosts[0], (ExtendedKeyUsageOID.SERVER_AUTH, names), now, days)


def issue_client(
    folder: Path, authority: CertificateFiles, user: str, now: datetime.datetime, *, days: int = LEAF_DAYS
) -> CertificateFiles:
    """A broker user's certificate, as client-<user>.pem and client-<user>.key."""
    if _FILE_NAME.fullmatch(user) is None:
        raise BrokerSettingsError("a broker user's name has 1 to 64 letters, digits, dots, dashes or underscores")
    return _issue(folder, f"client-{user}", authority, user, (ExtendedKeyUsageOID.CLIENT_AUTH, None), now, days)


def server_context(files: CertificateFiles, client_authority: Path | None = None) -> ssl.SSLContext:
    """TLS for a broker; with `client_authority` every client must show a certificate of it, beside its password."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with _usable(files.certificate):
        context.load_cert_chain(files.certificate, files.key)
    if client_authority is not None:
        with _usable(client_authority, "the certificate authority "):
            context.load_verify_locations(client_authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(authority: Path | None = None, own: CertificateFiles | None = None) -> ssl.SSLContext:
    """TLS for a client: the broker must show a certificate of `authority` (or of the system's) for its name."""
    with _usable(authority, "the certificate authority "):
        context = ssl.create_default_context(cafile=None if authority is None else str(authority))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if own is not None:
        with _usable(own.certificate):
            context.load_cert_chain(own.certificate, own.key)
    return context


@contextmanager
def _usable(path: Path | None, what: str = "the key of or the certificate ") -> Iterator[None]:
    """Turns what the TLS library says about a file into an error that names it."""
    try:
        yield
    except OSError as error:  # of which ssl.SSLError is one
        raise CertificateInvalid(f"{what}{path} cannot be used: {error.strerror or error}") from error


def _issue(
    folder: Path,
    stem: str,
    authority: CertificateFiles,
    name: str,
    role: tuple[x509.ObjectIdentifier, x509.SubjectAlternativeName | None],
    now: datetime.datetime,
    days: int,
) -> CertificateFiles:
    issuer, issuer_key = _load(authority)
    end = issuer.not_valid_after_utc
    if now + datetime.timedelta(days=days) > end:
        days = (end - now).days
    if days < 1:
        raise CertificateInvalid(f"the authority {authority.certificate} ends on {end:%Y-%m-%d}")
    key = ec.generate_private_key(ec.SECP256R1())
    built = _builder(_named(name), issuer.subject, key.public_key(), now, days)
    built = built.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    built = built.add_extension(_usage(signs_certificates=False), critical=True)
    purpose, names = role
    built = built.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if names is not None:
        built = built.add_extension(names, critical=False)
    known_as = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    built = built.add_extension(known_as, critical=False)
    return _write(folder, stem, key, [built.sign(issuer_key, hashes.SHA256())])


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    built = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
    # A clock that is a little late must not refuse a certificate that was made a minute ago.
    built = built.not_valid_before(now - _SKEW).not_valid_after(now + datetime.timedelta(days=days))
    return built.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _named(name: str) -> x509.Name:
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise BrokerSettingsError("the name in a certificate has 1 to 64 printable characters")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    if _HOST_NAME.fullmatch(host) is None:
        raise BrokerSettingsError(f"{host[:60]!r} is neither a host name nor an address")
    return x509.DNSName(host)


def _load(files: CertificateFiles) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise CertificateInvalid(f"the authority {files.certificate} cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise CertificateInvalid(f"{files.key} is not the key of {files.certificate}")
    return certificate, key


def _write(
    folder: Path, stem: str, key: ec.EllipticCurvePrivateKey, chain: Iterable[x509.Certificate]
) -> CertificateFiles:
    files = CertificateFiles(folder / f"{stem}.pem", folder / f"{stem}.key")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    if files.certificate.exists():
        raise CertificateExists(f"{files.certificate} is there already and is not overwritten")
    _create(files.key, private, 0o600)
    _create(files.certificate, b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain), 0o644)
    return files


def _create(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise CertificateExists(f"{path} is there already and is not overwritten") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
