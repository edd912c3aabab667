from django.db import models

from sync.models.asked import Asked


class Upstream(Asked):
    """A registry that packages are fetched from."""

    class Kind(models.TextChoices):
        NPM = "npm"
        CNPMCORE = "cnpmcore"
        CNPMJSORG = "cnpmjsorg"
        VERDACCIO = "verdaccio"
        LARDER = "larder"
        FOLDER = "folder"  # of tarballs, on this machine: its URL is file:///…

    kind = models.CharField(max_length=16, choices=Kind, default=Kind.NPM)
    # The token that it wants, encrypted (registry.secrecy); sent to its own origin and to nobody else.
    credentials = models.TextField(blank=True, default="", db_default="")
    # Where its changes can be followed; empty: where its kind has them.
    feed_url = models.CharField(max_length=500, blank=True, default="", db_default="")
    # How much sync tasks may ask of it at once, and in a minute; 0: as much as there is. Readers are not counted.
    max_at_once = models.PositiveIntegerField(default=8, db_default=8)
    max_per_minute = models.PositiveIntegerField(default=0, db_default=0)


class ScopeRule(models.Model):
    """Which names belong to whom. The most specific pattern wins."""

    class Mode(models.TextChoices):
        PRIVATE = "private"
        PROXY = "proxy"  # fetched when somebody asks
        MIRROR = "mirror"  # followed, and fetched eagerly
        MIGRATE = "migrate"  # brought over from an old registry until the cut-over makes it private
        BLOCKED = "blocked"

    class Tarballs(models.TextChoices):
        BY_MODE = ""  # eager where the mode is mirror or migrate
        EAGER = "eager"  # with each version that comes
        LAZY = "lazy"  # when somebody asks for one

    FROM_UPSTREAMS = (Mode.PROXY, Mode.MIRROR, Mode.MIGRATE)

    # A name, a scope (`@acme`, `@acme/*`), or the beginning of names (`left-*`, `*`).
    pattern = models.CharField(max_length=255, unique=True)
    mode = models.CharField(max_length=8, choices=Mode)
    upstream = models.ForeignKey(Upstream, null=True, blank=True, on_delete=models.PROTECT)
    tarballs = models.CharField(max_length=5, choices=Tarballs, blank=True, default="", db_default="")

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="only_rules_that_fetch_have_an_upstream",
                condition=models.Q(mode__in=["proxy", "mirror", "migrate"]) | models.Q(upstream=None),
            )
        ]

    def __str__(self) -> str:
        return f"{self.pattern}: {self.mode}"


class Fallback(models.Model):
    """Another upstream of a rule, asked when those before it do not have a name. The rule's own `upstream` is first."""

    rule = models.ForeignKey(ScopeRule, on_delete=models.CASCADE, related_name="fallbacks")
    upstream = models.ForeignKey(Upstream, on_delete=models.PROTECT)
    position = models.PositiveSmallIntegerField(default=1)

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(name="fallback_once", fields=["rule", "upstream"])]

    def __str__(self) -> str:
        return f"{self.position}. {self.upstream} for {self.rule.pattern}"
