"""The client of the OpenID Connect provider, built when the first person comes that way."""

from functools import cache
from typing import Any
from urllib.parse import urlsplit

from storage.account_settings import OidcSettings
from storage.errors import Unavailable
from storage.secrets import secret_text
from ui import process

_SECONDS = 10.0
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


class CannotSignIn(Exception):
    """Says that the provider answered, but with nothing that lets anybody in."""


def provider() -> Any:
    """Return Authlib's client of the provider that is set: with state, nonce and PKCE (S256).

    Raises `Unavailable` where the extra is not installed or the settings cannot work.
    """
    return _client_of(process.settings().oidc)


def client_secret(settings: OidcSettings) -> str:
    """Return the secret that the provider gave this server; raise `Unavailable` without one."""
    text = secret_text(settings.client_secret_env)
    if not text:
        raise Unavailable(
            f"The provider's secret is in neither {settings.client_secret_env} nor a file named by "
            f"{settings.client_secret_env}_FILE; set one for the web server."
        )
    return text


@cache
def _build(metadata_url: str, client_id: str, secret: str, scopes: str) -> Any:
    try:
        from authlib.integrations.starlette_client import OAuth
    except ImportError as error:
        raise Unavailable(
            "Signing in through a provider needs more packages; an admin runs "
            "`pip install 'rankloop[oidc]'`."
        ) from error
    return OAuth().register(
        name="oidc",
        server_metadata_url=metadata_url,
        client_id=client_id,
        client_secret=secret,
        client_kwargs={"scope": scopes, "code_challenge_method": "S256", "timeout": _SECONDS},
    )


def is_trustworthy(address: str) -> bool:
    """Say whether one can be sure who answers at an address: by TLS, or as it is this machine."""
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _THIS_MACHINE)


def _client_of(settings: OidcSettings) -> Any:
    if not is_trustworthy(settings.metadata_url):
        raise Unavailable(
            "The setting oidc.metadata_url is no https address, so nobody can be sure who answers; "
            "an admin mends it."
        )
    secret = client_secret(settings)
    return _build(settings.metadata_url, settings.client_id, secret, settings.scopes)
