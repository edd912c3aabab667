from typing import Any

from django.db import migrations, models
from django.db.models.functions import Coalesce

_PLACE = "version_born ON registry_version (COALESCE(published_at, first_seen_at))"


def build(_apps: Any, editor: Any) -> None:
    """While the old version goes on writing, where the database can do that."""
    is_postgresql = editor.connection.vendor == "postgresql"
    editor.execute(f"CREATE INDEX {'CONCURRENTLY ' if is_postgresql else ''}IF NOT EXISTS {_PLACE}")


def drop(_apps: Any, editor: Any) -> None:
    editor.execute("DROP INDEX IF EXISTS version_born")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("registry", "0007_downloaders")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(build, drop)],
            state_operations=[
                migrations.AddIndex(
                    model_name="version",
                    index=models.Index(Coalesce("published_at", "first_seen_at"), name="version_born"),
                )
            ],
        )
    ]
