"""What search knows of each package, and the indexes that make it fast; where one cannot be made, search is slower."""

import django.db.models.deletion
from django.db import DatabaseError, migrations, models, transaction

# Letter triples find a part of a name. A role that may not create extensions does without.
_POSTGRESQL_TRIGRAMS = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    "CREATE INDEX registry_search_name ON registry_searchentry USING gin (name gin_trgm_ops)",
)
_POSTGRESQL_TERMS = (
    "CREATE INDEX registry_search_terms ON registry_searchentry "
    "USING gin (array_to_tsvector(string_to_array(btrim(terms), ' ')))",
)
# FTS5 keeps the index alone, the text stays in the table. Letter triples came with SQLite 3.34.
_ADD = "INSERT INTO registry_search_fts (rowid, name, terms) VALUES (new.package_id, new.name, new.terms);"
_TAKE = (
    "INSERT INTO registry_search_fts (registry_search_fts, rowid, name, terms) "
    "VALUES ('delete', old.package_id, old.name, old.terms);"
)
_SQLITE = (
    "CREATE VIRTUAL TABLE registry_search_fts USING fts5 "
    "(name, terms, content='registry_searchentry', content_rowid='package_id', tokenize='trigram')",
    f"CREATE TRIGGER registry_search_added AFTER INSERT ON registry_searchentry BEGIN {_ADD} END",
    f"CREATE TRIGGER registry_search_edited AFTER UPDATE OF package_id, name, terms ON registry_searchentry "
    f"BEGIN {_TAKE} {_ADD} END",
    f"CREATE TRIGGER registry_search_taken AFTER DELETE ON registry_searchentry BEGIN {_TAKE} END",
)


def make_indexes(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        _run(schema_editor.connection, _POSTGRESQL_TERMS)
        _try(schema_editor.connection, _POSTGRESQL_TRIGRAMS)
    if schema_editor.connection.vendor == "sqlite":
        _try(schema_editor.connection, _SQLITE)


def drop_indexes(apps, schema_editor):
    """Those of PostgreSQL, and the triggers, go with the table."""
    if schema_editor.connection.vendor == "sqlite":
        _run(schema_editor.connection, ["DROP TABLE IF EXISTS registry_search_fts"])


def _try(connection, statements):
    """All of them or none."""
    try:
        with transaction.atomic(using=connection.alias):
            _run(connection, statements)
    except DatabaseError as error:
        print(f" (without an index for search: {str(error).strip()})", end="")


def _run(connection, statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


class Migration(migrations.Migration):

    dependencies = [("registry", "0003_attestation")]

    operations = [
        migrations.CreateModel(
            name="SearchEntry",
            fields=[
                (
                    "package",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        serialize=False,
                        to="registry.package",
                    ),
                ),
                ("name", models.CharField(max_length=255)),
                ("terms", models.TextField()),
                ("shown", models.TextField()),
                ("weekly", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.RunPython(make_indexes, drop_indexes),
    ]
