"""One-time passwords: who must show one, whether the one that was shown is right, and how people switch it on and off.

A code of the app is good for its step and the ones beside it, and as often as it is sent meanwhile: a publish of many
workspaces asks for it once and sends it with every package. A recovery code is good once.
"""

import hashlib
import logging
import secrets
import time

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import attempts, secrecy, totp
from registry.errors import Forbidden, Invalid, OtpRequired, Unavailable
from registry.events import RECOVERY_CODE_USED, SECOND_FACTOR_CHANGED
from registry.models import RecoveryCode, SecondFactor, User, WebSession

logger = logging.getLogger(__name__)

# npm's prompt takes digits and spaces, or 64 hexadecimal letters, and nothing else.
_RECOVERY_CODES, _RECOVERY_DIGITS = 10, 24

_SHOW = "this needs a one-time password from your authenticator app: add it with --otp=<code>"
_WRONG = "the one-time password is not right, or not any more: look at the app again, and at the clock of its device"
_SWITCH_ON = "this package is changed by people with a second factor only: npm profile enable-2fa auth-and-writes"
_NO_KEY = "second factors would be lost when this registry restarts: its operator must set LARDER_SECRET_KEY"


# --- Showing it -----------------------------------------------------------------------------------------------------


def is_on(user: User) -> bool:
    """Whether the person has switched on a second factor."""
    return _active(user.pk) is not None


def verify(user: User, otp: str, *, actor: Actor) -> bool:
    """Whether the person has shown the second factor that they have; False when they showed none, or have none.

    A wrong one is counted and raises `OtpRequired`, too many raise `TooManyAttempts`. Call it where a request comes
    in, outside of any transaction: then the count stays, and a code that is right stays so while an upload takes long.
    """
    if not otp or not is_on(user):
        return False
    with attempts.counted("otp", user.username, origin=actor.origin):
        if not _is_right(user, "".join(otp.split()), actor):
            raise OtpRequired(_WRONG)
    return True


def require_at_sign_in(user: User, otp: str, *, actor: Actor) -> None:
    """Raise `OtpRequired` unless the person has shown their second factor, or has none. Their password was right."""
    if not verify(user, otp, actor=actor) and is_on(user):
        raise OtpRequired(_SHOW)


def require_for_account(actor: Actor) -> None:
    """Raise `OtpRequired` for a change of the account or its tokens unless `actor` has shown it, or has none."""
    if not actor.has_shown_otp and _active(actor.user_id) is not None:
        raise OtpRequired(_SHOW)


def require(actor: Actor, *, always: bool = False) -> None:
    """Raise `OtpRequired` for a change of a package unless `actor` has shown a second factor, or needs none.

    With `always` also people need one who have it for signing in only, or not at all: then the sentence says how.
    """
    if actor.has_shown_otp:
        return
    factor = _active(actor.user_id)
    if factor is None and always:
        raise Forbidden(_SWITCH_ON)
    if factor is not None and (always or factor.mode == SecondFactor.Mode.AUTH_AND_WRITES):
        raise OtpRequired(_SHOW)


def _active(user_id: int | None) -> SecondFactor | None:
    return SecondFactor.objects.filter(user=user_id or 0, is_pending=False).first()


def _is_right(user: User, otp: str, actor: Actor) -> bool:
    factor = _active(user.pk)
    is_of_app = factor is not None and _is_of_app(factor, otp)
    return is_of_app or _is_of_browser(user, otp) or _use_recovery_code(user, otp, actor)


def _is_of_app(factor: SecondFactor, otp: str) -> bool:
    try:
        secret = secrecy.unseal(factor.secret)
    except secrecy.Unreadable as error:  # recovery codes still open the account
        logger.error("the second factor of %s cannot be read: %s", factor.user, error)  # noqa: TRY400 (a fact)
        return False
    return totp.is_right(secret, otp, time.time())


def _is_of_browser(user: User, otp: str) -> bool:
    """Whether the person's client was given it because they showed their second factor in a browser."""
    shown = WebSession.objects.open().filter(purpose=WebSession.Purpose.OTP, user=user, done_at__isnull=False)
    return shown.filter(otp_hash=_hash(otp)).exists()


def _use_recovery_code(user: User, otp: str, actor: Actor) -> bool:
    with transaction.atomic():
        unused = RecoveryCode.objects.filter(user=user, used_at=None)
        if not unused.filter(code_hash=_hash(otp)).update(used_at=timezone.now()):
            return False
        journal.record(RECOVERY_CODE_USED, f"user:{user.username}", actor=actor, left=unused.count())
    return True


# --- Switching it on and off ----------------------------------------------------------------------------------------


def begin(user: User, mode: str, *, issuer: str) -> str:
    """Make a secret for the person's app and return the URL to scan. It protects nothing before `confirm`."""
    if settings.SECRET_KEY_IS_EPHEMERAL:
        raise Unavailable(_NO_KEY)
    secret = totp.new_secret()
    with transaction.atomic():
        _lock(user)
        if is_on(user):
            raise Invalid("your second factor is switched on already: npm profile disable-2fa, then begin again")
        fields = {"secret": secrecy.seal(secret), "mode": SecondFactor.Mode(mode), "is_pending": True}
        SecondFactor.objects.update_or_create(user=user, defaults=fields)
    return totp.url(secret, issuer=issuer, name=user.username)


def confirm(user: User, otp: str, *, actor: Actor) -> list[str]:
    """Switch on what `begin` made, now that the app shows its codes, and return new recovery codes."""
    factor = SecondFactor.objects.filter(user=user, is_pending=True).first()
    if factor is None:
        raise Invalid("there is no second factor that waits for its first code: npm profile enable-2fa")
    with attempts.counted("otp", user.username, origin=actor.origin):
        if not _is_of_app(factor, "".join(otp.split())):
            raise Invalid(_WRONG)
    codes = [f"{secrets.randbelow(10**_RECOVERY_DIGITS):0{_RECOVERY_DIGITS}}" for _ in range(_RECOVERY_CODES)]
    with transaction.atomic():
        _lock(user)
        begun = SecondFactor.objects.filter(pk=factor.pk, secret=factor.secret, is_pending=True)
        if not begun.update(is_pending=False):
            raise Invalid("your second factor was begun anew, or confirmed, meanwhile: scan the newest code")
        RecoveryCode.objects.filter(user=user).delete()
        RecoveryCode.objects.bulk_create(RecoveryCode(user=user, code_hash=_hash(each)) for each in codes)
        journal.record(SECOND_FACTOR_CHANGED, f"user:{user.username}", actor=actor, mode=factor.mode)
    return codes


def set_mode(user: User, mode: str, *, actor: Actor) -> None:
    """Say what the person's second factor, which is on, is asked for."""
    with transaction.atomic():
        _lock(user)
        if SecondFactor.objects.filter(user=user, is_pending=False).exclude(mode=mode).update(mode=mode):
            journal.record(SECOND_FACTOR_CHANGED, f"user:{user.username}", actor=actor, mode=mode)


def switch_off(user: User, *, actor: Actor) -> None:
    """Forget the person's app and recovery codes: for themselves, or for who has lost both."""
    with transaction.atomic():
        _lock(user)
        was_on = is_on(user)
        RecoveryCode.objects.filter(user=user).delete()
        SecondFactor.objects.filter(user=user).delete()
        if was_on:
            journal.record(SECOND_FACTOR_CHANGED, f"user:{user.username}", actor=actor, mode="off")


def _lock(user: User) -> None:
    User.objects.select_for_update(no_key=True).get(pk=user.pk)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
