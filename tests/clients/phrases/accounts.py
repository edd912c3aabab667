"""Who somebody is: login, profile, second factor, tokens, logout."""

import re
from collections.abc import Callable

from tests.clients.commands import Completed, Reply
from tests.clients.phrasebook import Cannot, Chapter, Words
from tests.clients.walks import PASSWORD, Walk

SIGNING_IN, SECRETS, SIGNING_OUT = Chapter(), Chapter(), Chapter()


@SIGNING_IN.row("ping", npm="ping")
def ping(walk: Walk, said: str) -> None:
    assert re.search("(?i)pong|ping success", said)


def couch_login(words: str) -> Callable[[Walk], Completed]:
    """Log in with name and password."""
    return lambda walk: walk.say(words, answers=credentials(walk))


def credentials(walk: Walk) -> dict[str, Reply]:
    """What a person answers to the prompts of a login."""
    return {"sername:": walk.person, "assword:": PASSWORD, "mail": f"{walk.person}@example.com"}


def publish_signing_in(walk: Walk) -> Completed:
    """yarn 1 asks for the password when it publishes without a token, and ends its session afterwards."""
    project = walk.new_project(token=None)
    folder = walk.written(f"@{walk.scope}/signed-in", "1.0.0")
    answers = {"New version:": "", **credentials(walk)}
    return project.run("publish", str(folder), "--no-git-tag-version", answers=answers, terminal=True)


@SIGNING_IN.row(
    "login (password)",
    npm=couch_login("login --auth-type=legacy"),
    pnpm=Cannot("takes the web login wherever a registry has one"),
    yarn_1=publish_signing_in,
    yarn_4=couch_login("npm login"),
)
def login_with_a_password(walk: Walk, said: str) -> None:
    sessions = 0 if walk.client.name == "yarn-1" else 1
    assert len(walk.tokens()) == sessions + 1, "ours, and one that watches"
    assert sessions or walk.versions(f"@{walk.scope}/signed-in")


def web_login(words: str, prompt: str) -> Callable[[Walk], Completed]:
    """Log in by way of a browser; nothing is typed, but for a no to what opens one."""
    return lambda walk: walk.say(words, answers={"open your browser now": "n", prompt: walk.sign_in_in_the_browser})


@SIGNING_IN.row(
    "login (web)",
    npm_6=Cannot("has no web login"),
    npm=web_login("login --auth-type=web", "ENTER to open"),
    pnpm=web_login("login", "ENTER to open"),
    yarn_1=Cannot("has no web login"),
    yarn_4=web_login("npm login --web-login", "/-/web/login/"),
)
def login_in_the_browser(walk: Walk, said: str) -> None:
    assert len(walk.tokens()) >= 2


@SIGNING_IN.row("whoami", npm="whoami", yarn_4="npm whoami", bun="pm whoami")
def whoami(walk: Walk, said: str) -> None:
    assert walk.person in said


NO_PROFILE_YET = Cannot("not implemented yet", "profile get", "not yet implemented")


@SIGNING_IN.row("profile get", npm="profile get", pnpm_11=NO_PROFILE_YET)
def profile_get(walk: Walk, said: str) -> None:
    assert walk.person in said


@SIGNING_IN.row("profile set", npm="profile set fullname Ann", pnpm_11=NO_PROFILE_YET)
def profile_set(walk: Walk, said: str) -> None:
    assert walk.get("/-/npm/v1/user")["fullname"] == "Ann"


# --- Tokens, and the second factor -----------------------------------------------------------------------------------

GRANULAR = "--name=ci --packages=left-pad --packages-and-scopes-permission=read-write --expires=7"
NO_TOKENS_YET = Cannot("not implemented yet", "token list", "not yet implemented")


def create_token(words: str) -> Words:
    """Create a token, and keep what is shown once."""

    def create(walk: Walk) -> Completed:
        done = walk.say(words, answers={"assword:": PASSWORD})
        walk.secrets += re.findall(r"larder_[0-9A-Za-z]{38}", done.stdout)
        return done

    return create


@SECRETS.row(
    "token create",
    npm=create_token("token create"),
    npm_11=create_token(f"token create {GRANULAR}"),
    pnpm=create_token("token create"),
    pnpm_11=NO_TOKENS_YET,
)
def token_create(walk: Walk, said: str) -> None:
    [token] = walk.created()
    assert not token["readonly"]
    assert walk.name_of(walk.secrets[0]) == walk.person


@SECRETS.row(
    "token create --cidr",
    npm=create_token("token create --cidr=192.0.2.0/24"),
    npm_11=create_token(f"token create --cidr=192.0.2.0/24 {GRANULAR}"),
    pnpm=create_token("token create --cidr=192.0.2.0/24"),
    pnpm_11=NO_TOKENS_YET,
)
def token_create_for_a_network(walk: Walk, said: str) -> None:
    assert sorted(str(token["cidr_whitelist"]) for token in walk.created()) == ["None", "['192.0.2.0/24']"]
    refused = walk.new_project(token=walk.secrets[1]).run("whoami")
    assert refused.returncode != 0
    assert walk.client.name == "pnpm-12" or "EAUTHIP" in refused.stderr, refused


@SECRETS.row("token list", npm="token list", pnpm_11=NO_TOKENS_YET)
def token_list(walk: Walk, said: str) -> None:
    assert all(token["key"][:6] in said for token in walk.tokens())


def revoke_tokens(walk: Walk) -> Completed:
    """Revoke one token by its key, and the other by itself."""
    first, second = walk.secrets
    [key] = [token["key"] for token in walk.created() if first.startswith(token["token"])]
    done = walk.project.run("token", "revoke", key[:8])
    return done if done.returncode else walk.project.run("token", "revoke", second)


@SECRETS.row("token revoke", npm=revoke_tokens, pnpm_11=NO_TOKENS_YET)
def token_revoke(walk: Walk, said: str) -> None:
    assert [walk.name_of(secret) for secret in walk.secrets] == [None, None]
    assert {token["name"] for token in walk.tokens()} == {"session"}, "the others stay"


def enable_2fa(walk: Walk) -> Completed:
    """Switch the second factor on, with an authenticator app that takes the secret from the screen."""
    answers = {"assword:": PASSWORD, "from your authenticator": walk.authenticator_code}
    done = walk.say("profile enable-2fa auth-only", answers=answers)
    walk.recovery_codes = re.findall(r"\b[0-9]{24}\b", done.stdout)
    return done


def disable_2fa(walk: Walk) -> Completed:
    """Switch it off again, with a recovery code since an authenticator's is taken once; npm 9 on asks in a browser."""
    code = walk.recovery_codes[0]
    answers: dict[str, Reply] = {
        "assword:": PASSWORD,
        "Enter one-time password": code,
        "ENTER to open": lambda said: walk.in_the_browser(said, code=code),
    }
    return walk.say("profile disable-2fa", answers=answers)


def disable_2fa_at_once(walk: Walk) -> Completed:
    """pnpm asks for no code, it wants to be told."""
    return walk.say(f"profile disable-2fa --otp={walk.recovery_codes[0]}", answers={"assword:": PASSWORD})


@SECRETS.row("profile enable-2fa", npm=enable_2fa, pnpm_11=NO_PROFILE_YET)
def profile_enable_2fa(walk: Walk, said: str) -> None:
    assert walk.get("/-/npm/v1/user")["tfa"] == {"pending": False, "mode": "auth-only"}


@SECRETS.row("profile disable-2fa", npm=disable_2fa, pnpm=disable_2fa_at_once, pnpm_11=NO_PROFILE_YET)
def profile_disable_2fa(walk: Walk, said: str) -> None:
    assert not walk.get("/-/npm/v1/user")["tfa"]


# --- The end ---------------------------------------------------------------------------------------------------------


def logout(words: str) -> Words:
    """End the session that the client has, and no other."""

    def end(walk: Walk) -> Completed:
        before = len(walk.tokens())
        done = walk.say(words)
        assert len(walk.tokens()) == before - 1, done
        return done

    return end


@SIGNING_OUT.row(
    "logout",
    npm=logout("logout"),
    yarn_1=Cannot("forgets its name; its sessions end with the publish"),
    yarn_4=Cannot("forgets its token, which stays valid"),
)
def logged_out(walk: Walk, said: str) -> None:
    assert walk.project.run("whoami").returncode != 0
