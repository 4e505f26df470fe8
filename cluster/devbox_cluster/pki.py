"""The local cluster's certificates and kubeconfigs.

Goes in: a folder. Comes out: `<name>.crt`, `<name>.key`, `<name>.conf` in it. Made anew when less than a month is left.
"""

import base64
import datetime as dt
import ipaddress
import shutil
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .config import API_SERVER, NODE, NODE_ADDRESS, SERVICE_ADDRESS

YEAR: Final = dt.timedelta(days=365)
MONTH: Final = dt.timedelta(days=30)
CLIENTS: Final = {
    "admin": ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", None),
    "scheduler": ("system:kube-scheduler", None),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
    "kube-proxy": ("system:kube-proxy", None),
    "front-proxy": ("front-proxy", None),
}
_SERVICE_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


def ensure(folder: Path) -> None:
    """Everything that the components read, in a folder with mode 0700."""
    authority_path = folder / "ca.crt"
    if authority_path.exists():
        left = x509.load_pem_x509_certificate(authority_path.read_bytes()).not_valid_after_utc - dt.datetime.now(dt.UTC)
        if left > MONTH:
            return
    # All or nothing: an `up` that was cut off leaves no half set behind.
    partial = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700, parents=True)
    _make(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _make(folder: Path) -> None:
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("kubernetes", None, authority_key, None, None)
    _write(folder, "ca", authority, authority_key)
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in _SERVICE_NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(a)) for a in ("127.0.0.1", NODE_ADDRESS, SERVICE_ADDRESS)]
    _issue(folder, "apiserver", ("kube-apiserver", None), names, (authority, authority_key))
    node_names = [x509.DNSName(NODE), x509.IPAddress(ipaddress.ip_address(NODE_ADDRESS))]
    for name, subject in CLIENTS.items():
        _issue(folder, name, subject, node_names if name == "kubelet" else [], (authority, authority_key))
        _kubeconfig(folder, name)
    service_accounts = ec.generate_private_key(ec.SECP256R1())
    _private(folder / "service-accounts.key", _pem(service_accounts))
    public = service_accounts.public_key()
    (folder / "service-accounts.pub").write_bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def issue_node(folder: Path, name: str) -> None:
    """`<name>.crt` and `<name>.key` for one more node, where the authority is there."""
    authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the authority has a key of another kind")
    _issue(folder, name, (f"system:node:{name}", "system:nodes"), [], (authority, key))


Signer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _issue(folder: Path, name: str, subject: tuple[str, str | None], names: list[x509.GeneralName], signer: Signer) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    _write(folder, name, _certificate(*subject, key, names, signer), key)


def _certificate(
    common_name: str,
    organisation: str | None,
    key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName] | None,
    signer: Signer | None,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organisation:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    subject = x509.Name(attributes)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer[0].subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + YEAR)
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    signing_key = signer[1] if signer else key
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False
    )
    if signer:
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    else:
        builder = builder.add_extension(_CA_USAGE, critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signing_key, hashes.SHA256())


_CA_USAGE = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def _write(folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    _private(folder / f"{name}.key", _pem(key))
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600, exist_ok=True)
    path.chmod(0o600)
    path.write_bytes(content)


def _kubeconfig(folder: Path, name: str) -> None:
    def data(file: str) -> str:
        return base64.b64encode((folder / file).read_bytes()).decode()

    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "devbox-gateway", "cluster": {"server": API_SERVER, "certificate-authority-data": data("ca.crt")}}
        ],
        "users": [
            {
                "name": name,
                "user": {"client-certificate-data": data(f"{name}.crt"), "client-key-data": data(f"{name}.key")},
            }
        ],
        "contexts": [{"name": "devbox-gateway", "context": {"cluster": "devbox-gateway", "user": name}}],
        "current-context": "devbox-gateway",
    }
    _private(folder / f"{name}.conf", yaml.safe_dump(content).encode())
