"""A certificate authority of the org's own, and the certificate that the https listener shows."""

from __future__ import annotations

import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from holdfast.orgsim.listeners.hosts import LOCAL_HOSTS, LOGIN_HOSTS, WILDCARDS

CA_FILE, CA_KEY_FILE = "ca.pem", "ca-key.pem"
CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=397)  # what browsers accept at most


class Authority:
    """Signs certificates for this process; clients trust it by its file."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, file: Path) -> None:
        self.certificate = certificate
        self.file = file
        self._key = key

    @classmethod
    def at(cls, folder: Path) -> Authority:
        """The authority kept in `folder` (`ca.pem`, `ca-key.pem`), made there if there is none that still holds."""
        file, key_file = folder / CA_FILE, folder / CA_KEY_FILE
        if file.exists() and key_file.exists():
            certificate = x509.load_pem_x509_certificate(file.read_bytes())
            key = serialization.load_pem_private_key(key_file.read_bytes(), None)
            still = certificate.not_valid_after_utc - datetime.now(UTC)
            if isinstance(key, ec.EllipticCurvePrivateKey) and still > LEAF_LIFETIME:
                return cls(certificate, key, file)
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _ca_certificate(key)
        _write_private(key_file, _pem(key))
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(certificate, key, file)

    def context(self, names: Iterable[str] = ()) -> ssl.SSLContext:
        """A server's TLS settings with a fresh certificate for every host of `hosts.py` and for `names`."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = _leaf_certificate(key, self.certificate, self._key, names)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        with tempfile.NamedTemporaryFile(prefix="orgsim-", suffix=".pem") as chain:  # made with mode 0600
            chain.write(_pem(key) + leaf.public_bytes(serialization.Encoding.PEM))
            chain.flush()
            context.load_cert_chain(chain.name)
        return context


def _name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "orgsim"), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _ca_certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name, now = _name("orgsim local CA"), datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(_reach(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _leaf_certificate(
    key: ec.EllipticCurvePrivateKey, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, names: Iterable[str]
) -> x509.Certificate:
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(_name("orgsim"))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LEAF_LIFETIME)
        .add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _alternatives(names: Iterable[str]) -> list[x509.GeneralName]:
    hosts = dict.fromkeys((*LOCAL_HOSTS, *LOGIN_HOSTS, *WILDCARDS, *names))
    return [_general(host) for host in hosts]


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _reach() -> x509.NameConstraints:
    """A stolen key must not open more than this process: the CA signs for its own hosts only."""
    hosts = [x509.DNSName(name) for name in ("localhost", *LOGIN_HOSTS, "my.salesforce.com")]
    nets = [x509.IPAddress(ipaddress.ip_network(net)) for net in ("127.0.0.0/8", "::1/128")]
    return x509.NameConstraints(permitted_subtrees=[*hosts, *nets], excluded_subtrees=None)


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=ca, crl_sign=ca, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_private(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
