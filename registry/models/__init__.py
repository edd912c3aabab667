"""Rows and their QuerySets: what things are. How they come to be is in the verb modules beside this package."""

from registry.models.blob import Blob
from registry.models.download import Download, Downloader
from registry.models.login import Attempt, Invitation, RecoveryCode, SecondFactor, WebSession
from registry.models.package import Package, SecondFactorRule, Stamp
from registry.models.people import Grant, Maintainer, Member, Scope, Star, Team, User
from registry.models.search import SearchEntry
from registry.models.tag import DistTag
from registry.models.token import Token
from registry.models.version import Attestation, Version

__all__ = [
    "Attempt",
    "Attestation",
    "Blob",
    "DistTag",
    "Download",
    "Downloader",
    "Grant",
    "Invitation",
    "Maintainer",
    "Member",
    "Package",
    "RecoveryCode",
    "Scope",
    "SearchEntry",
    "SecondFactor",
    "SecondFactorRule",
    "Stamp",
    "Star",
    "Team",
    "Token",
    "User",
    "Version",
    "WebSession",
]
