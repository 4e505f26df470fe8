"""The CA bundle in other forms: what Java, wget and PHP read."""

import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import certifi
import pytest

from devbox_operator.attach import truststore
from devbox_operator.release.certificates import bundle, make_ca

NOW = datetime(2026, 12, 1, tzinfo=UTC)
CA = make_ca("rel", NOW).certificate
BUNDLE = bundle(Path(certifi.where()).read_text(encoding="utf-8"), CA, "")


def test_the_same_bundle_gives_the_same_bytes() -> None:
    """Else every operator that starts would write to every namespace."""
    assert truststore.files(BUNDLE) == truststore.files(BUNDLE)


@pytest.mark.row("S16")
@pytest.mark.parametrize("text", [CA.decode(), BUNDLE], ids=["one", "all"])
def test_the_truststore_holds_every_certificate(tmp_path: Path, text: str) -> None:
    store = tmp_path / "truststore.p12"
    store.write_bytes(truststore.java(text))
    openssl = ["openssl", "pkcs12", "-in", str(store), "-nomacver", "-nokeys", "-passin", "pass:"]
    found = subprocess.run(openssl, capture_output=True, text=True, check=True).stdout
    assert sorted(truststore.pem_certificates(found)) == sorted(truststore.pem_certificates(text))


@pytest.mark.skipif(not shutil.which("keytool"), reason="there is no Java here")
@pytest.mark.parametrize("password", ["changeit", "another-one"])
def test_java_reads_it_with_any_password(tmp_path: Path, password: str) -> None:
    store = tmp_path / "truststore.p12"
    store.write_bytes(truststore.java(BUNDLE))
    keytool = [
        "keytool",
        "-J-Duser.language=en",
        "-list",
        "-keystore",
        str(store),
        "-storetype",
        "PKCS12",
        "-storepass",
        password,
    ]
    said = subprocess.run(keytool, capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.count("trustedCertEntry") == BUNDLE.count("BEGIN CERTIFICATE")


def test_a_certificate_that_nobody_understands_takes_no_other_along() -> None:
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    assert truststore.java(broken + CA.decode() + broken)
    assert truststore.java(broken) == b""
    assert "java-options" not in truststore.files(broken)


def test_what_is_too_large_for_a_configmap_has_no_truststore() -> None:
    many = BUNDLE + "".join(make_ca(f"rel-{number}", NOW).certificate.decode() for number in range(900))
    assert len(BUNDLE) < truststore.MOST_BYTES < len(many) + len(truststore.java(many))
    assert set(truststore.files(many)) == {"wgetrc", "devbox-gateway.ini"}


def test_the_texts_name_the_files_beside_them() -> None:
    made = truststore.files(BUNDLE)
    assert made["wgetrc"] == b"ca_certificate = /run/devbox-gateway/ca/ca-bundle.crt\n"
    assert re.findall(rb"^(\S+?)=(/\S+)$", made["devbox-gateway.ini"], re.MULTILINE) == [
        (b"curl.cainfo", b"/run/devbox-gateway/ca/ca-bundle.crt"),
        (b"openssl.cafile", b"/run/devbox-gateway/ca/ca-bundle.crt"),
    ]
    assert b"-Djavax.net.ssl.trustStore=/run/devbox-gateway/ca/truststore.p12\n" in made["java-options"]
