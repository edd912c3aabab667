"""Every command that speaks to a registry, in the order in which a client takes them."""

from tests.clients.phrases import accounts, packages, rights

ROWS = [
    *accounts.SIGNING_IN,
    *packages.LIFE,
    *rights.RIGHTS,
    *accounts.SECRETS,
    *packages.END,
    *accounts.SIGNING_OUT,
]
