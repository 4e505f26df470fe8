"""A CA bundle is read as the gateway's TLS reads it."""

import pytest

from devbox_common.trust import check_ca_bundle
from devbox_stage.credentials import make_certificates


def pem() -> str:
    return make_certificates(["api.example"]).ca


def test_one_certificate_or_more_is_a_bundle() -> None:
    check_ca_bundle(pem())
    check_ca_bundle("the company's\n" + pem() + "\n" + pem())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: "MIIB",
        lambda text: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        lambda text: text[: len(text) // 2],
        lambda text: text + text[: len(text) // 2],
        lambda text: text.replace("-----BEGIN CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\né"),
    ],
)
def test_anything_else_is_refused_with_what_to_do(spoil) -> None:  # type: ignore[no-untyped-def]
    broken = spoil(pem())
    with pytest.raises(ValueError, match="write whole certificates as PEM text") as refused:
        check_ca_bundle(broken)
    assert refused.value.__context__ is None or refused.value.__suppress_context__
