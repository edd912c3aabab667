"""The shapes of registry paths, below the public URL, after %-decoding (WSGI has decoded them already).

`/a/b` is version or tag `b` of `a`, `/@a/b` is a packument, `/@a/b/c` a version, `/x/-/…` a tarball, and all under
`/-/` is API: the rule that resolves the ambiguity. NUL is in no path of ours, because no database looks it up.
"""

NAME = r"(?P<name>@[^/]+/[^/]+|(?!-/)[^@/][^/]*)"
FILE = r"(?P<filename>[^/\x00]+\.tgz)"

PACKUMENT = rf"{NAME}/?"
MANIFEST = rf"{NAME}/(?P<spec>(?!-/|-$)[^/\x00]+)/?"
# npm's own; Verdaccio's and GitLab's, with the scope again; cnpmjs.org's.
TARBALLS = (
    rf"{NAME}/-/{FILE}",
    rf"{NAME}/-/@[^/]+/{FILE}",
    rf"{NAME}/download/(?:@[^/]+/)?{FILE}",
)
