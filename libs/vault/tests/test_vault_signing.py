"""The signing key belongs to the secret: for ever the same, and no other's."""

from __future__ import annotations

from holdfast.vault.signing import signing_key

SECRET = bytes(range(32))


def test_the_key_of_a_secret_never_changes() -> None:
    # Vaults that exist are checked with this key: another derivation would call all of them forged.
    assert (
        signing_key(SECRET).public_key().public_bytes_raw().hex()
        == "668b40270b0038abf537073a8aa9ac456748d56374588ac4a9b6739ded8cffe2"
    )


def test_another_secret_has_another_key() -> None:
    other = signing_key(bytes(32)).public_key().public_bytes_raw()
    assert other != signing_key(SECRET).public_key().public_bytes_raw()
    assert signing_key(SECRET).private_bytes_raw() != SECRET
