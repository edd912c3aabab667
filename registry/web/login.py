"""Where people prove who they are to a client that waits in their terminal, and where they sign up."""

import secrets
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_protect

from audit import context
from audit.actors import Actor
from registry import invitations, people, second_factor, weblogin
from registry.errors import Invalid, NotFound, RegistryError, TooManyAttempts
from registry.models import User, WebSession
from registry.weblogin import Terminal

# --- Ways to prove who one is ---------------------------------------------------------------------------------------


def _name() -> forms.CharField:
    widget = forms.TextInput({"autocomplete": "username", "autocapitalize": "none", "autofocus": True})
    return forms.CharField(label="User name", max_length=100, widget=widget)


def _password(label: str, autocomplete: str) -> forms.CharField:
    widget = forms.PasswordInput({"autocomplete": autocomplete})
    return forms.CharField(label=label, max_length=1000, strip=False, widget=widget)


def _code(label: str, *, required: bool = True) -> forms.CharField:
    widget = forms.TextInput({"autocomplete": "one-time-code"})
    return forms.CharField(label=label, max_length=100, required=required, widget=widget)


class Proof(forms.Form):
    """Something to fill in that proves who one is."""

    button = "Sign in"
    refusal: RegistryError | None = None

    def proven(self, *, actor: Actor) -> User | None:
        """Whom the form proves; None when it says now why it proves nobody."""
        try:
            return self.person(actor=actor) if self.is_valid() else None
        except RegistryError as refusal:
            self.refusal = refusal
            self.add_error(None, refusal.sentence)
            return None

    def person(self, *, actor: Actor) -> User:
        """Whom the fields prove. Raises a `RegistryError` when they prove nobody."""
        raise NotImplementedError


class SignIn(Proof):
    """The name and the password of a person."""

    name = _name()
    password = _password("Password", "current-password")
    code = _code("One-time code, if you have a second factor", required=False)

    def person(self, *, actor: Actor) -> User:
        """The person of this name."""
        given = self.cleaned_data
        return people.sign_in(given["name"], given["password"], otp=given["code"], actor=actor)


class SignUp(Proof):
    """What makes a new person."""

    button = "Sign up"

    name = _name()
    email = forms.EmailField(label="E-mail", max_length=254, required=False)
    password = _password("Password", "new-password")
    again = _password("Password again", "new-password")
    code = forms.CharField(label="Invitation", max_length=100, widget=forms.TextInput({"autocomplete": "off"}))

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if settings.SIGNUP != "invite":
            del self.fields["code"]

    def person(self, *, actor: Actor) -> User:
        """The person who comes to be."""
        given = self.cleaned_data
        if given["password"] != given["again"]:
            raise Invalid("the two passwords differ")
        return invitations.sign_up(
            given["name"], given["password"], actor=actor, email=given["email"], code=given.get("code", "")
        )


class Confirmation(Proof):
    """A click of a person who is known already, and a code if they have a second factor."""

    button = "Allow"

    code = _code("One-time code")

    def __init__(self, user: User, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.user = user
        if not second_factor.is_on(user):
            del self.fields["code"]

    def person(self, *, actor: Actor) -> User:
        """The person who was known."""
        second_factor.require_at_sign_in(self.user, self.cleaned_data.get("code", ""), actor=actor)
        return self.user


# --- Pages ----------------------------------------------------------------------------------------------------------


@method_decorator(csrf_protect, name="dispatch")
class LoginPage(View):
    """`/-/web/login/<secret>`: says which terminal asks for what, and lets its person allow it."""

    def dispatch(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponseBase:
        """Answer, as long as the terminal waits."""
        try:
            return super().dispatch(request, *args, **options)
        except NotFound as error:
            return message(request, "Too late", error.sentence, status=404)

    def get(self, request: HttpRequest, secret: str) -> HttpResponse:
        """GET: what there is to fill in."""
        session, terminal = weblogin.asked(secret)
        return _ask(request, _proof(request, session), session, terminal)

    def post(self, request: HttpRequest, secret: str) -> HttpResponse:
        """POST: allow it, or say why not."""
        session, terminal = weblogin.asked(secret)
        form = _proof(request, session, request.POST)
        user = form.proven(actor=_actor())
        if user is None:
            return _ask(request, form, session, terminal)
        weblogin.allow(session, user, terminal, actor=_actor(user))
        return message(request, "Done", f"You are {user.username}. Go back to the terminal; you can close this page.")


@method_decorator(csrf_protect, name="dispatch")
class SignUpPage(View):
    """`/-/web/sign-up`, with the code of an invitation or without."""

    def get(self, request: HttpRequest, code: str = "") -> HttpResponse:
        """GET: what there is to fill in."""
        if not invitations.is_open():
            return message(request, "Closed", invitations.CLOSED, status=403)
        return _ask(request, SignUp(initial={"code": code}))

    def post(self, request: HttpRequest, code: str = "") -> HttpResponse:
        """POST: make the person, or say why not."""
        form = SignUp(request.POST)
        user = form.proven(actor=_actor())
        if user is None:
            return _ask(request, form)
        return message(request, "Welcome", f"You are {user.username}. Go to a terminal and run: npm login")


def _proof(request: HttpRequest, session: WebSession, data: Any = None) -> Proof:
    """The form for whoever this is: for a second factor its person, else who is signed in, was here before, or is new.

    `?new` and `?other` are the links between them.
    """
    if session.user is not None:
        return Confirmation(session.user, data)
    if "new" in request.GET and invitations.is_open():
        return SignUp(data)
    if isinstance(request.user, User) and "other" not in request.GET:
        return Confirmation(request.user, data)
    return SignIn(data)


def _actor(user: User | None = None) -> Actor:
    somebody = Actor.user(user.username, user_id=user.pk) if user else Actor.anonymous()
    return somebody.as_of(context.current())


def _ask(
    request: HttpRequest, form: Proof, session: WebSession | None = None, terminal: Terminal | None = None
) -> HttpResponse:
    """The form, with what it says of the last try, and what is asked for by whom."""
    facts = {
        "form": form,
        "session": session,
        "terminal": terminal,
        "started_at": session and session.expires_at - weblogin.lifetime(),
        "can_sign_up": invitations.is_open(),
    }
    response = _page(request, "registry/login.html", facts)
    if isinstance(form.refusal, TooManyAttempts):
        response.status_code = 429
        response["Retry-After"] = str(form.refusal.retry_after)
    return response


def message(request: HttpRequest, title: str, sentence: str, *, status: int = 200) -> HttpResponse:
    response = _page(request, "registry/login_message.html", {"title": title, "sentence": sentence})
    response.status_code = status
    return response


def _page(request: HttpRequest, template: str, facts: dict[str, Any]) -> HttpResponse:
    """A page that no cache keeps and no other site frames, with no style or script but our own."""
    nonce = secrets.token_urlsafe(16)
    response = render(request, template, {**facts, "nonce": nonce})
    response["Cache-Control"] = "private, no-store"
    response["Content-Security-Policy"] = (
        f"default-src 'self'; style-src 'nonce-{nonce}'; form-action 'self'; frame-ancestors 'none'"
    )
    return response
