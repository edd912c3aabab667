"""All settings, top to bottom. Everything runs with nothing set: that is the embedded shape.

Each variable is documented where it is read: here, and for what one app only needs in `config/settings_<app>.py`.
Values come from the environment, then from `.env` beside `manage.py`.
"""

import contextlib
import ipaddress
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from config import logs
from config.env import BASE_DIR, env, number
from config.settings_bugversions import *  # noqa: F403
from config.settings_registry import *  # noqa: F403
from config.settings_sync import *  # noqa: F403
from registry import signin

# --- Identity ------------------------------------------------------------------------------------------------------

# LARDER_VAR: the one folder for everything that Larder writes: database, blobs, spool, logs, broker. Default var/.
VAR = Path(env.str("LARDER_VAR", default=str(BASE_DIR / "var"))).expanduser().resolve()
with contextlib.suppress(OSError):  # bin/run says so in a sentence
    VAR.mkdir(parents=True, exist_ok=True)

# LARDER_SECRET_KEY: signs the admin's sessions and encrypts the secrets of second factors. bin/run writes one into
# .env; without one, sessions end at a restart. LARDER_OLD_SECRET_KEYS, a comma list: keys before it, which still open
# what they closed.
SECRET_KEY = env.str("LARDER_SECRET_KEY", default="") or secrets.token_urlsafe(48)
SECRET_KEY_FALLBACKS = env.list("LARDER_OLD_SECRET_KEYS", default=[])
SECRET_KEY_IS_EPHEMERAL = not env.str("LARDER_SECRET_KEY", default="")

# HOST and PORT: where bin/run listens. Loopback unless told otherwise.
HOST = env.str("HOST", default="127.0.0.1")
PORT = number("PORT", 8000)

# LARDER_WORKERS and LARDER_THREADS: web processes, and threads in each. A thread that waits for an upstream does not
# hold up the others, so there are more of them than clients usually open connections.
WORKERS = number("LARDER_WORKERS", 2)
THREADS = number("LARDER_THREADS", 64)
# LARDER_MAX_WAITING: readers of each web process that may wait for upstreams at once. Keep it below LARDER_THREADS: the
# threads that are left serve what is here, however ill an upstream is.
MAX_WAITING = number("LARDER_MAX_WAITING", max(1, THREADS * 3 // 4))
# LARDER_STALL_SECONDS: how long a client may send nothing in the middle of a request. It holds a thread meanwhile.
STALL_SECONDS = number("LARDER_STALL_SECONDS", 60)

# LARDER_PUBLIC_URL: the URL that clients use, when a proxy stands in front (https://npm.example.com). It is put into
# tarball URLs; without it they carry the scheme and host that asked.
PUBLIC_URL = env.str("LARDER_PUBLIC_URL", default="").rstrip("/")

# LARDER_ALLOWED_HOSTS: host names that requests may carry, a comma list. Default: the public URL's and loopback's;
# any when HOST is not loopback and no public URL is set, because then nobody can know them.
_loopback = HOST == "localhost" or (HOST.replace(".", "").isdigit() and ipaddress.ip_address(HOST).is_loopback)
_known_hosts = ["localhost", "127.0.0.1", "[::1]", HOST, *filter(None, [urlsplit(PUBLIC_URL).hostname])]
ALLOWED_HOSTS = env.list("LARDER_ALLOWED_HOSTS", default=_known_hosts if _loopback or PUBLIC_URL else ["*"])

# LARDER_ANONYMOUS_READ: `no` closes the registry to readers who are not signed in; login still works.
ANONYMOUS_READ = env.bool("LARDER_ANONYMOUS_READ", default=True)

# LARDER_DEBUG: Django's debug pages. Never on a machine that others reach.
DEBUG = env.bool("LARDER_DEBUG", default=False)

# LARDER_ADMIN_PASSWORD: password of the first administrator `admin`; generated and shown once when not set.
ADMIN_PASSWORD = env.str("LARDER_ADMIN_PASSWORD", default="")

# --- Apps and middleware -------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "audit",
    "registry",
    "sync",
    "bugversions",
]

# Registry routes carry no session, CSRF, locale or gzip middleware: they would add `Vary: Cookie`, which makes npm
# write bearer tokens into its cache index. Those of `registry.middleware` act on the pages only.
MIDDLEWARE = [
    "audit.context.RequestContextMiddleware",
    "registry.middleware.Length",
    "registry.middleware.Security",
    "registry.middleware.StaticFiles",
    "registry.middleware.Sessions",
    "registry.middleware.Authentication",
    "registry.middleware.Messages",
    "registry.middleware.Framing",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False  # a redirected PUT loses its body

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "registry.web.openid.other_ways",
            ]
        },
    }
]

AUTH_USER_MODEL = "registry.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = [
    "registry.hashing.Argon2",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    # Those that came with people from other registries (registry.immigration), until they sign in.
    "registry.hashing.Bcrypt",
    "registry.hashing.Htpasswd",
    "registry.hashing.Cnpmcore",
]

# LARDER_LDAP_*, LARDER_OIDC_*: other places that know people; registry/signin.py has them all.
LDAP = signin.directory(env)
OPENID = signin.provider(env)
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",  # first: the passwords that we have are sent nowhere
    *(["registry.directory.DirectoryBackend"] if LDAP else []),
    *(["registry.web.openid.ProviderBackend"] if OPENID else []),
]

LANGUAGE_CODE = "en"
USE_I18N = False
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/-/static/"
STATIC_ROOT = VAR / "static"
LOGIN_URL = "/-/admin/login/"
# Where forms come from, as a browser sees it: a proxy may speak TLS for us.
CSRF_TRUSTED_ORIGINS = ["{0.scheme}://{0.netloc}".format(urlsplit(PUBLIC_URL))] if PUBLIC_URL else []

# --- Database ------------------------------------------------------------------------------------------------------

# DATABASE_URL: postgres://user:password@host/name, or sqlite:////path. Default: SQLite in the var folder.
DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{VAR / 'larder.sqlite3'}")}
DATABASES["default"]["CONN_MAX_AGE"] = None
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # A write transaction takes its lock when it begins, so that two of them wait instead of failing half-way.
        "transaction_mode": "IMMEDIATE",
        "timeout": 60,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16000;",
    }
    # Tests use a file too: a database in memory cannot be shared between threads as a real one is.
    DATABASES["default"]["TEST"] = {"NAME": str(VAR / "test.sqlite3")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: order, shared cache, broker (all of it optional) ---------------------------------------------------------

# REDIS_URL: redis://host:6379/0. Without it the database keeps the order, and there is no shared cache.
REDIS_URL = env.str("REDIS_URL", default="")
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "documents": (
        {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": "larder",
            "OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5},
        }
        if REDIS_URL
        else {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    ),
}

CELERY_BROKER_URL = REDIS_URL or "files://localhost"
if not REDIS_URL:
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(VAR / "broker" / "queue"),
        "data_folder_out": str(VAR / "broker" / "queue"),
        "processed_folder": str(VAR / "broker" / "processed"),
        "control_folder": str(VAR / "broker" / "control"),
        "store_processed": False,
        "polling_interval": 0.2,
    }
else:
    # Who sends a message waits no longer for a Redis that hangs. Workers ask it in pieces of one second.
    CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 3, "socket_connect_timeout": 1}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_SERIALIZER = "json"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR / "run" / "beat")
CELERY_TIMEZONE = "UTC"

# --- Blobs and static files ----------------------------------------------------------------------------------------

# LARDER_S3_BUCKET: keep tarballs in this bucket instead of the var folder. The AWS_* variables of boto3 give the rest
# (AWS_S3_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_S3_REGION_NAME, AWS_S3_ADDRESSING_STYLE).
S3_BUCKET = env.str("LARDER_S3_BUCKET", default="")
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": VAR / "files"},
    },
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
    "blobs": (
        {
            "BACKEND": "storages.backends.s3.S3Storage",
            "OPTIONS": {
                "bucket_name": S3_BUCKET,
                "endpoint_url": env.str("AWS_S3_ENDPOINT_URL", default=None),
                "region_name": env.str("AWS_S3_REGION_NAME", default=None),
                "addressing_style": env.str("AWS_S3_ADDRESSING_STYLE", default=None),
                "querystring_expire": 600,
            },
        }
        if S3_BUCKET
        else {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": VAR / "blobs"},
        }
    ),
}
# LARDER_S3_REDIRECT: send clients to a presigned URL of the bucket (default), or stream through Larder ("no").
S3_REDIRECT = env.bool("LARDER_S3_REDIRECT", default=True)
# LARDER_ACCEL_PREFIX: internal location of nginx that maps to the blobs folder, as in deploy/nginx.conf; tarballs are
# then handed to nginx with X-Accel-Redirect. Empty: sent by the web server itself.
ACCEL_PREFIX = env.str("LARDER_ACCEL_PREFIX", default="").rstrip("/")

# --- Sockets ------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["registry.api.auth.RegistryAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["registry.api.content.AnyJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "registry.api.content.AlwaysJSON",
    "EXCEPTION_HANDLER": "registry.api.errors.answer",
    "UNAUTHENTICATED_USER": None,
}

REGISTRY = {
    # What to do when something is asked for that is not here, or may be out of date: registry.upstream.OnMiss.
    "ON_MISS": "sync.pullthrough.PullThrough",
    # How a file is fetched from a place that is configured: registry.fetching.Download.
    "DOWNLOAD": "sync.downloads.download",
    # How caches before us are told to forget: registry.cdn.Purge.
    "CDN": "sync.purging.purge",
    # Which versions of programs are unsafe, such as Node's: registry.safety.SafeVersions.
    "SAFE_VERSIONS": "bugversions.node.SafeNode",
    # What readers may see, in order: registry.policies.Policy.
    "POLICIES": [
        "registry.policies.Blocks",
        "registry.policies.PrivateScopes",
        "sync.policies.Rules",
        "bugversions.deciding.Advice",
    ],
}
AUDIT = {
    # The nudge after a commit: sends a message to a worker.
    "WAKE": "audit.tasks.ask_for_a_drain",
    # LARDER_TRUSTED_PROXIES: how many proxies stand in front, so that X-Forwarded-For tells where a request comes from.
    "TRUSTED_PROXIES": number("LARDER_TRUSTED_PROXIES", 0),
}

# --- Logs ----------------------------------------------------------------------------------------------------------

# LARDER_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR.
LOGGING = logs.lines(env.str("LARDER_LOG_LEVEL", default="INFO"))
