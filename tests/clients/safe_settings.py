"""The settings of a server that knows some unsafe versions of Node."""

from config.settings import *  # noqa: F403
from config.settings import REGISTRY

REGISTRY = REGISTRY | {"SAFE_VERSIONS": "tests.sync.some_unsafe.SomeUnsafe"}
