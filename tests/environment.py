"""A pytest plugin that gives each test process settings of its own, before Django reads any.

`pyproject.toml` loads it. Nothing of the machine's `.env` or var folder is used: variables that are set win over `.env`.
"""

import os
import shutil
import tempfile

_folder = tempfile.mkdtemp(prefix="larder-test-")
os.environ.update(
    LARDER_VAR=_folder,
    LARDER_SECRET_KEY="a key for tests",
    LARDER_UPSTREAM_URL="none",
    LARDER_UPSTREAM_CA="",
    LARDER_PUBLIC_URL="",
    LARDER_PRIVATE_SCOPES="@acme",
    LARDER_SIGNUP="open",
    LARDER_LOG_LEVEL="WARNING",
    HOST="127.0.0.1",
)


def pytest_unconfigure():
    shutil.rmtree(_folder, ignore_errors=True)
