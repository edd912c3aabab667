"""What search knows of each package, and how its text is looked into.

What a search means is LIKE, on every database; where there is an index that knows the answer, the index is asked:
GIN on PostgreSQL, FTS5 on SQLite (migration 0004 makes them, where they can be made).
"""

from functools import lru_cache
from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Lookup
from django.db.models.sql.compiler import SQLCompiler

_Sql = tuple[str, list[Any]]
_FTS = "registry_search_fts"


class SearchEntry(models.Model):
    """What search knows of a package: made anew from the package's rows by `registry.searching.indexing`.

    SQLite keeps its full text index by triggers on this table. A migration that makes the table anew drops them, and
    must make them again.
    """

    package = models.OneToOneField("registry.Package", primary_key=True, on_delete=models.CASCADE)
    name = models.CharField(max_length=255)
    # Words and labels, each between spaces: ` left pad :keywords:string :author:jane `. See registry.searching.query.
    terms = models.TextField()
    # What an answer shows of it, as JSON text.
    shown = models.TextField()
    # Downloads in a week, as they were when they were counted last: the order of what is found must stand still.
    weekly = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return self.name


class Part(Lookup):
    """`name__part="pad"`: the text stands somewhere in the column. It may have letters and digits only."""

    lookup_name = "part"
    prepare_rhs = False

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> _Sql:  # type: ignore[override]
        """Look at every row."""
        return self._like(compiler, connection, "LIKE")

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> _Sql:
        """Ask the trigram index, when there is one."""
        return self._like(compiler, connection, "ILIKE")

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> _Sql:
        """Ask the full text index, when there is one. Its trigrams answer LIKE, which has no syntax to be abused."""
        if not _has_fts(connection.alias):
            return self.as_sql(compiler, connection)
        quote = compiler.quote_name_unless_alias
        key = f"{quote(self.lhs.alias)}.{quote('package_id')}"
        found = f"SELECT rowid FROM {_FTS} WHERE {quote(self.lhs.target.column)} LIKE %s"  # noqa: S608 (names of ours)
        return f"{key} IN ({found})", [f"%{self.rhs}%"]

    def _like(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, operator: str) -> _Sql:
        column, params = self.process_lhs(compiler, connection)
        return f"{column} {operator} %s", [*params, f"%{self.rhs}%"]


class Term(Part):
    """`terms__term=" pad"`: a word that begins so; `" :keywords:pad "`, with a space at its end: just this one."""

    lookup_name = "term"

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> _Sql:
        """Ask the full text index. Terms are its lexemes as they are: no dictionary may bend them."""
        column, params = self.process_lhs(compiler, connection)
        wanted = f"'{self.rhs.strip()}'" + ("" if self.rhs.endswith(" ") else ":*")
        return f"array_to_tsvector(string_to_array(btrim({column}), ' ')) @@ %s::tsquery", [*params, wanted]


@lru_cache
def _has_fts(alias: str) -> bool:
    """Whether the migration could make the full text index."""
    return _FTS in connections[alias].introspection.table_names()


SearchEntry._meta.get_field("name").register_lookup(Part)  # noqa: SLF001 (how Django documents it)
SearchEntry._meta.get_field("terms").register_lookup(Term)  # noqa: SLF001
