"""One-time passwords: who must show one, and whether the one that was shown is right."""

from audit.actors import Actor
from registry.errors import OtpRequired
from registry.models import SecondFactor


def require(actor: Actor, *, always: bool = False) -> None:
    """Raise `OtpRequired` unless `actor` has shown a second factor, or needs none.

    With `always` also people who have not switched it on need one: then the sentence tells them how.
    """
    factor = SecondFactor.objects.filter(user=actor.user_id or 0, is_pending=False).first()
    if factor is None and not always:
        return
    raise OtpRequired("this needs a one-time password from your authenticator app")
