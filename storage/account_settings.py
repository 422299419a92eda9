"""Settings of sign-ins, links and tokens, and of an OpenID Connect provider."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

RoleName = Literal["annotator", "lead", "engineer", "admin"]


class AccountSettings(BaseModel):
    """Hold what accounts are subject to, one line of words a field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^/\s]+)?$",
        description="Where people reach this server, such as https://rank.example.org: for links.",
    )
    breached_passwords: Path | None = Field(
        default=None,
        description="File or folder of stolen passwords that new ones may not be in: Have I Been "
        "Pwned's SHA-1 file ordered by hash, the folder of its ranges, or a plain list.",
    )
    seen_minutes: float = Field(
        default=5.0,
        ge=0.0,
        description="Minutes to which it is known when a sign-in or a token was used last.",
    )
    invitation_hours: float = Field(
        default=72.0, gt=0.0, le=2160.0, description="Hours that an invitation is good for."
    )
    token_days: float = Field(
        default=90.0, gt=0.0, description="Days that an access token is good for unless told."
    )
    longest_token_days: float = Field(
        default=366.0, gt=0.0, description="Most days that an access token may be good for."
    )


class OidcSettings(BaseModel):
    """Hold an OpenID Connect provider, one line of words a field; on where `client_id` is set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="single sign-on", description="Its name on the sign-in page.")
    metadata_url: str = Field(
        default="",
        description="Address of its metadata: https://…/.well-known/openid-configuration.",
    )
    client_id: str = Field(default="", description="Name under which it knows this server.")
    client_secret_env: str = Field(
        default="RANKLOOP_OIDC_SECRET",
        description="Environment variable with the secret it gave this server; or NAME_FILE, of "
        "its file.",
    )
    redirect_url: str = Field(
        default="",
        description="Address that it sends people back to, https://…/oidc/callback; unset: this "
        "server's as the browser sees it.",
    )
    sign_out_there: bool = Field(
        default=True,
        description="Whoever came that way signs out there, too, where it has an address for it "
        "(end_session_endpoint); it sends them back to https://…/login.",
    )
    scopes: str = Field(default="openid email profile", description="What it is asked for.")
    email_domains: tuple[str, ...] = Field(
        default=(), description="Domains of the verified e-mail addresses that may come; none: all."
    )
    role_claim: str = Field(
        default="", description="Claim with a person's groups or roles, such as groups or a.b."
    )
    roles: dict[str, RoleName] = Field(
        default_factory=dict,
        description="Roles here by the values of that claim; the strongest one counts, at every "
        "sign-in.",
    )
    new_accounts: bool = Field(
        default=False,
        description="Make an account for whoever comes first; else they need an invitation.",
    )
    new_role: RoleName = Field(
        default="annotator", description="Role of such an account where no claim says another."
    )
