"""Django's settings, derived from the typed model in ``config``. Nothing else reads the environment."""

from datetime import timedelta
from pathlib import Path

import django_stubs_ext
from csp.constants import NONE, SELF

from cloudsite import config, logs

django_stubs_ext.monkeypatch()  # lets generic Django classes name their model, as the type checker wants

CONFIG = config.load()
BASE_DIR = Path(__file__).resolve().parent.parent
STATE_DIR = CONFIG.state_dir

SECRET_KEY = CONFIG.secret_key.get_secret_value()
DEBUG = CONFIG.debug
# The Host header is checked by `cloudsite.middleware.KnownHost`: loopback, our own addresses, the
# configured names. Django's list cannot say "any IP address of this machine".
ALLOWED_HOSTS = ["*"]
KNOWN_HOSTS = [name.strip() for name in CONFIG.allowed_hosts.split(",") if name.strip()]
TRUSTED_PROXIES = CONFIG.trusted_proxies

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "csp",
    "axes",
    "django_htmx",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "cloudsite",
    "apps.envelope",
    "apps.events",
    "apps.accounts",
    "apps.operations",
    "apps.hosts",
    "apps.metrics",
    "apps.network",
    "apps.storage",
    "apps.placement",
    "apps.compute",
    "apps.dashboard",
]

MIDDLEWARE = [
    "cloudsite.middleware.RequestId",
    "cloudsite.middleware.KnownHost",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "cloudsite.middleware.Slashes",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "apps.accounts.middleware.CurrentSession",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
    "cloudsite.admin_input.AdminInput",
]

ROOT_URLCONF = "cloudsite.urls"
ASGI_APPLICATION = "cloudsite.asgi.application"
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
            ],
        },
    },
]

DATABASES = {"default": CONFIG.database}
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {
    "default": {
        "BACKEND": "apps.accounts.cache.ForgivingRedisCache",
        "LOCATION": CONFIG.cache_url,
        "KEY_PREFIX": "cloudsite",
    },
}

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "sign-in"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=5)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False
AXES_CLIENT_IP_CALLABLE = "apps.accounts.throttles.client_address"
AXES_ENABLE_ADMIN = True

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = int(timedelta(days=14).total_seconds())
CSRF_COOKIE_HTTPONLY = False  # htmx sends the token from the page, scripts of ours read nothing else
CSRF_FAILURE_VIEW = "cloudsite.views.csrf_failure"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = STATE_DIR / "static"
WHITENOISE_USE_FINDERS = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "cloudsite.static_files.Versioned"},
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.accounts.authentication.TokenAuthentication",
        "apps.accounts.authentication.BrowserSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["apps.accounts.permissions.SignedInWithScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.envelope.parsers.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "apps.envelope.pagination.Cursor",
    "DEFAULT_SCHEMA_CLASS": "apps.envelope.schema.Schema",
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS describes nothing; the OpenAPI document does
    "URL_FORMAT_OVERRIDE": None,
    "EXCEPTION_HANDLER": "cloudsite.problems.problem_handler",
    "DEFAULT_THROTTLE_RATES": {"token": "30/min"},
    "NUM_PROXIES": TRUSTED_PROXIES,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Cloudsite",
    "DESCRIPTION": "A private cloud for people's own Linux machines.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "ENUM_NAME_OVERRIDES": {
        "AcceleratorEnum": "apps.hosts.models.Accelerator",
        "ActionEnum": "apps.compute.models.schedule.Action",
        "BulkActionEnum": "apps.compute.services.bulk.ACTIONS",
        "NetworkKindEnum": "apps.network.models.NetworkKind",
        "ConsoleKindEnum": "apps.compute.models.ConsoleKind",
        "ImageStatusEnum": "apps.storage.models.ImageStatus",
        "HostStatusEnum": "apps.hosts.models.HostStatus",
        "PhaseEnum": "apps.compute.models.snapshot.SnapshotPhase",
        "OperationStatusEnum": "apps.operations.models.Status",
        "VMStatusEnum": "apps.compute.selectors.vm.STATUSES",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "apps.envelope.schema.document_problems",
    ],
}
JWT_KEY = CONFIG.jwt_key.get_secret_value()
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": JWT_KEY,
    "AUDIENCE": "cloudsite-api",
    "ISSUER": "cloudsite",
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=5),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=14),
    "UPDATE_LAST_LOGIN": False,
    "USER_ID_FIELD": "id",
    "USER_ID_CLAIM": "sub",
}

TIME_SCALE = CONFIG.time_scale
HOST_CALLS = CONFIG.host_calls
SNAPSHOTS_PER_VM = CONFIG.snapshots_per_vm
DEFAULT_POLICY = CONFIG.default_policy
POLICY_DIR = CONFIG.policy_dir
TRACE_DAYS = CONFIG.trace_days
PLACEMENT_DAYS = CONFIG.placement_days
INGEST_PORT = CONFIG.ingest_port
METRICS_RAW_HOURS = CONFIG.metrics_raw_hours
METRICS_MINUTE_DAYS = CONFIG.metrics_minute_days
METRICS_FIVE_MINUTE_DAYS = CONFIG.metrics_five_minute_days
METRICS_HOUR_DAYS = CONFIG.metrics_hour_days
TRASH_HOURS = CONFIG.trash_hours
HYPERVISOR = CONFIG.hypervisor
UPLOAD_LIMIT_BYTES = CONFIG.upload_limit_mib * 1024 * 1024
IMAGE_DISK_LIMIT_BYTES = CONFIG.image_disk_limit_gib * 1024**3
IMAGE_KEEP_DAYS = CONFIG.image_keep_days
IMPORT_HTTP = CONFIG.import_http
IMPORT_PORTS = [int(port) for port in CONFIG.import_ports.split(",")]
IMPORT_NETWORKS = [network.strip() for network in CONFIG.import_networks.split(",") if network.strip()]

LOGGING_CONFIG = None
logs.configure(level=CONFIG.log_level)
