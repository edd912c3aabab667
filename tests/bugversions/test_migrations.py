"""What the version before has written is there after its migrations, whatever it was."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from tests.bugversions.conftest import WHY

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE = [("bugversions", "0006_advisory_texts")]


@pytest.fixture
def before():
    """The models of the version before; afterwards all is as it is now, and empty."""
    executor = MigrationExecutor(connection)
    executor.migrate(BEFORE)
    try:
        yield executor.loader.project_state(BEFORE).apps.get_model
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM bugversions_repacked")
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())


def test_two_rules_that_made_equal_tarballs_of_one_version(before):
    overrides = {"scripts": {"postinstall": ""}}
    blob = before("registry", "Blob").objects.create(sha512="a" * 128, sha1="b" * 40, size=3)
    for versions in ("1.14.1", ">=1.14.0"):
        rule = before("bugversions", "BugVersion").objects.create(
            package="axios", versions=versions, action="override", reason=WHY, overrides=overrides, repack=True
        )
        facts = {"blob": blob, "original": "c" * 128, "overrides": overrides}
        before("bugversions", "Repacked").objects.create(rule=rule, number="1.14.1", **facts)
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    with connection.cursor() as cursor:
        cursor.execute("SELECT package, number FROM bugversions_repacked")
        assert cursor.fetchall() == [("axios", "1.14.1")] * 2
