"""A real LDAP server, Debian's slapd, on loopback and in a folder of its own.

    with LdapServer() as ldap:
        ldap.add("carol", "her password", mail="carol@example.org")

Nobody but its reader may look people up, and passwords are not shown to anybody.
"""

import datetime as dt
import os
import shutil
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import ldap3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.services import Absent, _listens, _process, _wait, free_port

BASE = "dc=example,dc=org"
PEOPLE, GROUPS = f"ou=people,{BASE}", f"ou=groups,{BASE}"
READER, READERS_PASSWORD = f"cn=reader,{BASE}", "who reads"
ADMINS = f"cn=admins,{GROUPS}"
_ROOT, _ROOTS_PASSWORD = f"cn=root,{BASE}", "who writes"

_CONFIGURATION = """
include {schema}/core.schema
include {schema}/cosine.schema
include {schema}/nis.schema
include {schema}/inetorgperson.schema
modulepath {modules}
moduleload back_mdb
pidfile {folder}/pid
TLSCertificateFile {folder}/certificate.pem
TLSCertificateKeyFile {folder}/key.pem
database mdb
maxsize 16777216
directory {folder}/data
suffix {base}
rootdn {root}
rootpw "{password}"
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact={reader} read by * none
"""


class LdapServer:
    """One that can be stopped and started again, and keeps its port and its entries."""

    def __init__(self) -> None:
        self._binary = shutil.which("slapd", path=os.defpath + ":/usr/sbin:/usr/local/sbin")
        if self._binary is None:
            raise Absent("there is no slapd: apt-get install slapd")
        self._folder = Path(tempfile.mkdtemp(prefix="larder-ldap-"))
        self._running = ExitStack()
        self._port = free_port()
        self.url = f"ldap://127.0.0.1:{self._port}"
        self.certificate = self._folder / "certificate.pem"

    def __enter__(self) -> Self:
        (self._folder / "data").mkdir()
        _make_certificate(self.certificate, self._folder / "key.pem")
        (self._folder / "slapd.conf").write_text(
            _CONFIGURATION.format(
                folder=self._folder, schema="/etc/ldap/schema", modules="/usr/lib/ldap", base=BASE,
                root=_ROOT, password=_ROOTS_PASSWORD, reader=READER,
            )
        )  # fmt: skip
        self.start()
        self._write("add", BASE, ["organization", "dcObject"], {"o": "example", "dc": "example"})
        for unit in (PEOPLE, GROUPS):
            self._write("add", unit, "organizationalUnit")
        self._write("add", READER, ["applicationProcess", "simpleSecurityObject"], {"userPassword": READERS_PASSWORD})
        self._write("add", ADMINS, "groupOfNames", {"member": READER})
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Serve, and return when it listens."""
        command = [self._binary, "-f", self._folder / "slapd.conf", "-h", self.url, "-d", "0"]
        self._running.enter_context(_process(command, None, self._folder, signal.SIGINT))
        _wait(lambda: _listens(self._port))

    def stop(self) -> None:
        """No longer answer."""
        self._running.close()

    def add(self, name: str, password: str, **attributes: str) -> None:
        """A person comes."""
        person = {"cn": name, "sn": name, "userPassword": password, **attributes}
        self._write("add", f"uid={name},{PEOPLE}", "inetOrgPerson", person)

    def change(self, name: str, **attributes: str) -> None:
        """A person has another mail, say."""
        changes = {attribute: [(ldap3.MODIFY_REPLACE, [value])] for attribute, value in attributes.items()}
        self._write("modify", f"uid={name},{PEOPLE}", changes)

    def remove(self, name: str) -> None:
        """A person goes."""
        self._write("delete", f"uid={name},{PEOPLE}")

    def make_admin(self, name: str, *, is_admin: bool = True) -> None:
        """A person comes into the group of administrators, or leaves it."""
        how = ldap3.MODIFY_ADD if is_admin else ldap3.MODIFY_DELETE
        self._write("modify", ADMINS, {"member": [(how, [f"uid={name},{PEOPLE}"])]})

    def _write(self, verb: str, *arguments: object) -> None:
        with ldap3.Connection(self.url, _ROOT, _ROOTS_PASSWORD, auto_bind=True, raise_exceptions=True) as connection:
            getattr(connection, verb)(*arguments)


def _make_certificate(certificate: Path, key: Path) -> None:
    """One for localhost that nobody else vouches for."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    host = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(host, critical=False)
        .sign(secret, hashes.SHA256())
    )  # fmt: skip
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
