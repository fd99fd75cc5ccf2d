"""Which version of the API is spoken."""

from __future__ import annotations

import pytest

from holdfast.common.errors import HoldfastError
from holdfast.salesforce.versions import choose_api_version


def test_api_version_is_the_newest_that_both_speak() -> None:
    assert choose_api_version(["9.0", "62.0", "66.0", "67.0"], 66) == "66.0"
    assert choose_api_version(["58.0", "59.0"], 66) == "59.0"
    with pytest.raises(HoldfastError):
        choose_api_version(["67.0", "junk"], 66)
