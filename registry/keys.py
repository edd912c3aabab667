"""Every path that the blob store can hold, one function each."""


def blob(sha512: str) -> str:
    """The path of a tarball's bytes, named by their sha512 in hex and spread over 65,536 folders."""
    return f"sha512/{sha512[:2]}/{sha512[2:4]}/{sha512}"
