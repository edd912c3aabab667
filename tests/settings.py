"""The settings, with the variables that tests rely on, and a var folder of each test process's own.

Nothing of the machine's `.env` is used: variables that are set win over it.
"""

import atexit
import os
import shutil
import tempfile

_folder = tempfile.mkdtemp(prefix="larder-test-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ.update(
    LARDER_VAR=_folder,
    LARDER_SECRET_KEY="a key for tests",
    LARDER_UPSTREAM_URL="none",
    LARDER_UPSTREAM_CA="",
    LARDER_NODE_DIST_URL="none",
    LARDER_PUBLIC_URL="",
    LARDER_PRIVATE_SCOPES="@acme",
    LARDER_SIGNUP="open",
    LARDER_LDAP_URL="",
    LARDER_OIDC_ISSUER="",
    LARDER_LOG_LEVEL="WARNING",
    HOST="127.0.0.1",
)

os.mkdir(os.path.join(_folder, "static"))  # noqa: PTH102, PTH118

from config.settings import *  # noqa: E402, F403

ALLOWED_HOSTS = ["*"]
# Fast, and none of the tests is about how long a password takes to try.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Commits put no messages into a broker: tests drain the journal and run sync tasks themselves.
AUDIT = {}
SYNC = {}
