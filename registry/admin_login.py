"""Signing in to the admin: as everywhere, with a second factor for those who have one, and with limits on guessing."""

from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm

from audit import context
from audit.actors import Actor
from registry import people
from registry.errors import RegistryError


class AdminLoginForm(AdminAuthenticationForm):
    """Django's form, and a one-time password."""

    otp = forms.CharField(
        label="One-time password, if you have a second factor",
        max_length=100,
        required=False,
        widget=forms.TextInput({"autocomplete": "one-time-code"}),
    )

    def clean(self) -> dict[str, Any]:
        """Prove who it is, and that they may open the admin."""
        given = self.cleaned_data
        if "username" in given and "password" in given:
            actor = Actor.anonymous().as_of(context.current())
            try:
                user = people.sign_in(given["username"], given["password"], actor=actor, otp=given.get("otp", ""))
            except RegistryError as refusal:
                raise forms.ValidationError(refusal.sentence) from refusal
            self.confirm_login_allowed(user)
            self.user_cache = user
        return given
