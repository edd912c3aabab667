"""Something for the socket `registry.safety`: who sync tests stand on, without knowing who really knows."""

from registry.safety import Unsafe

UNSAFE = {"22.0.0": "22.1.0", "22.2.0": "22.1.0", "19.0.0": "20.11.0"}
REASON = "it lets strangers in"


class SomeUnsafe:
    """Three versions of Node are unsafe; of other programs nothing is known."""

    def unsafe(self, program: str, version: str) -> Unsafe | None:
        return Unsafe(UNSAFE[version], REASON) if program == "node" and version in UNSAFE else None
