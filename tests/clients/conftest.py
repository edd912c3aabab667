"""Fixtures for tests that drive real clients."""

import os
from collections.abc import Callable

import pytest

pytest.register_assert_rewrite("tests.clients.phrases", "tests.clients.walks")

from tests.clients import toolbox  # noqa: E402 (the line above must come first)


@pytest.fixture
def real_client() -> Callable[[str], toolbox.Client]:
    """Return a client by name. A machine that cannot get it skips the test, and CI fails it."""

    def installed(name: str) -> toolbox.Client:
        try:
            return toolbox.client(name)
        except toolbox.Unavailable as reason:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(reason))

    return installed
