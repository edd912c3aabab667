"""Rows and their QuerySets: what things are. How they come to be is in the verb modules beside this package."""

from registry.models.blob import Blob
from registry.models.package import Package, Stamp
from registry.models.people import Maintainer, Scope, Team, User
from registry.models.tag import DistTag
from registry.models.token import Token
from registry.models.version import Version

__all__ = ["Blob", "DistTag", "Maintainer", "Package", "Scope", "Stamp", "Team", "Token", "User", "Version"]
