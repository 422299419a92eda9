"""Settings of a process: environment (`RANKLOOP_…`), then `rankloop.toml`, then these defaults."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from storage.account_settings import AccountSettings, OidcSettings
from storage.errors import BadInput
from storage.privacy_settings import PrivacySettings
from storage.secrets import secret_text
from storage.seeds import LARGEST_SEED

Megabytes = Annotated[float, Field(gt=0.0, le=200.0)]
EMBEDDED_MODEL = "embedded:smollm2-135m-instruct"


class Settings(BaseSettings):
    """Hold every setting of a process, one line of words a field."""

    model_config = SettingsConfigDict(
        env_prefix="RANKLOOP_",
        env_nested_delimiter="__",
        toml_file="rankloop.toml",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    home: Path = Field(
        default=Path("rankloop-data"), description="Folder of the database, checkpoints, snapshots."
    )
    database_url: str | None = Field(
        default=None, repr=False, description="SQLAlchemy URL; SQLite inside `home` when unset."
    )
    model: str = Field(
        default=EMBEDDED_MODEL,
        description="First policy: the embedded model, a Hugging Face id, or a local folder.",
    )
    project: str = Field(default="default", description="Name of the project that commands act on.")
    system_prompt: str = Field(
        default="You are a helpful assistant. Answer in one or two short sentences.",
        description="System message put before every prompt that has none; empty for none.",
    )
    host: str = Field(default="127.0.0.1", description="Address the web server listens on.")
    port: int = Field(default=8501, ge=0, le=65535, description="Port the web server listens on.")
    completions_per_task: int = Field(
        default=4, ge=2, le=9, description="K, completions ranked in one task."
    )
    overlap: int = Field(default=1, ge=1, le=100, description="Annotators wanted for each task.")
    heldout_share: float = Field(
        default=0.15, ge=0.0, le=0.5, description="Share of prompts kept out of training."
    )
    pool_tasks: int = Field(
        default=60, ge=1, description="Ready tasks of the live policy that the worker keeps."
    )
    judgments_per_round: int = Field(
        default=50, ge=1, description="New judgments that start a round."
    )
    round_hours: NonNegativeFloat = Field(
        default=24.0,
        description="Hours after which any new judgment starts a round; 0: never.",
    )
    assignment_minutes: PositiveFloat = Field(
        default=30.0, description="Minutes a task is lent to one annotator."
    )
    figures_share: float = Field(
        default=0.05,
        gt=0.0,
        le=1.0,
        description="Share of its time that the web server may measure a page's figures anew while "
        "judgments come in; what leads decide is always in them.",
    )
    figures_patience: NonNegativeFloat = Field(
        default=1.5,
        description="Seconds that a page waits for newer figures before it shows those there are.",
    )
    sign_in_hours: PositiveFloat = Field(default=12.0, description="Hours a sign-in lasts.")
    accounts: AccountSettings = Field(
        default=AccountSettings(), description="Passwords, links, tokens (docs/accounts.md)."
    )
    oidc: OidcSettings = Field(
        default=OidcSettings(), description="An OpenID Connect provider (docs/accounts.md)."
    )
    privacy: PrivacySettings = Field(
        default=PrivacySettings(), description="What an erasure does unless told (docs/privacy.md)."
    )
    trusted_proxies: str = Field(
        default="127.0.0.1",
        description="Addresses of proxies, with commas, whose X-Forwarded-For and -Proto are true.",
    )
    keep_alive_seconds: int = Field(
        default=75,
        ge=1,
        description="Seconds that an idle connection of a browser or proxy is kept open; more than "
        "a proxy keeps its own to this server.",
    )
    events_at_once: int = Field(
        default=3,
        ge=1,
        le=64,
        description="Events of ranking pages that a web process works on at once: more take the "
        "processor from each other. Raise it where the database is far away.",
    )
    worker_lease_seconds: PositiveFloat = Field(
        default=120.0, description="Seconds after which a silent worker loses its project."
    )
    worker_poll_seconds: PositiveFloat = Field(
        default=2.0, description="Seconds between two looks of an idle worker."
    )
    step_stall_minutes: PositiveFloat = Field(
        default=20.0,
        description="Minutes without progress before a training step is ended.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="Where training and generation run."
    )
    threads: int = Field(default=0, ge=0, description="CPU threads of the trainer; 0: all cores.")
    processes: int = Field(
        default=1, ge=1, description="Processes that train one model together, in any stage."
    )
    launch_config: str = Field(
        default="",
        description="Config of `accelerate launch` for them: a file, or one of reward/launch; "
        "unset: ddp on GPUs, torchrun on CPU.",
    )
    launcher: Literal["local", "accelerate", "command"] = Field(
        default="local",
        description="What starts training: this machine by itself, `accelerate launch` with "
        "`launch_config`, or `launch_command`.",
    )
    launch_command: str = Field(
        default="",
        description="Command that starts a job and waits for its end, such as "
        "`srun {python} -m {job}`; for launcher=command.",
    )
    cancel_command: str = Field(
        default="",
        description="Command that ends a job which launch_command left running, such as "
        "`scancel --name {name}`; unset: ending launch_command ends it.",
    )
    launch_shell: bool = Field(
        default=False, description="Let /bin/sh read these commands; values are quoted for it."
    )
    launch_part: Literal["training", "round"] = Field(
        default="training",
        description="What launch_command starts: the training of a step, on a machine that sees "
        "`home`; or a whole round, on one that reaches the database and `checkpoint_store`.",
    )
    launch_wait_minutes: PositiveFloat = Field(
        default=60.0, description="Minutes that a job may wait in a queue to begin."
    )
    checkpoint_store: str = Field(
        default="",
        pattern=r"^([a-z][a-z0-9+.-]*://\S*[^/\s])?$",
        description="Where new checkpoints and snapshots go, such as s3://bucket/rankloop; unset: "
        "under `home`.",
    )
    fetched_gigabytes: NonNegativeFloat = Field(
        default=20.0,
        description="Gigabytes of copies from `checkpoint_store` kept under `home`.",
    )
    generator: str = Field(
        default="transformers",
        description="What samples tasks and evaluations: transformers, or URLs (with commas "
        "between) of OpenAI-compatible servers of one model, such as vLLM's.",
    )
    generator_requests: int = Field(
        default=16, ge=1, description="Requests that each of these servers has at once."
    )
    generator_seconds: PositiveFloat = Field(
        default=600.0,
        description="Seconds without an answer after which a server is left out.",
    )
    publish_command: str = Field(
        default="",
        description="Command that makes such a server, {url}, serve a policy's {folder} under "
        "{name}; unset: vLLM's own endpoint for LoRA.",
    )
    upload_megabytes: Megabytes = Field(
        default=1.0,
        description="Largest file that may be uploaded, and largest body of a request, in MiB.",
    )
    message_megabytes: Megabytes = Field(
        default=1.0,
        description="Largest message of an open page (its websocket), in MiB.",
    )
    remote_code_models: tuple[str, ...] = Field(
        default=(),
        description="Models (a folder, or a Hugging Face id) whose own Python code may be run; "
        "look at the code first, it can do whatever this server can.",
    )
    webhook_private_addresses: bool = Field(
        default=False,
        description="Let webhooks reach addresses within this server's own network.",
    )
    report_to: Literal["none", "tensorboard", "trackio", "wandb", "mlflow"] = Field(
        default="tensorboard",
        description="Tool that also gets the curves of training, under `home`/logs; or none.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text",
        description="Form of log lines; json adds the request and the round that they belong to.",
    )
    metrics_token: str = Field(
        default="",
        pattern=r"^(\S{16,})?$",
        repr=False,
        description="Bearer token of /metrics, 16 characters or more; unset: only this machine may "
        "read it.",
    )
    metrics_seconds: NonNegativeFloat = Field(
        default=10.0,
        description="Seconds that figures of the database in /metrics may be old.",
    )
    metrics_alarm_seconds: PositiveFloat = Field(
        default=300.0,
        description="Seconds between two looks at what wants a lead, for /metrics.",
    )
    ready_seconds: PositiveFloat = Field(
        default=5.0,
        description="Seconds within which the database must answer for /readyz to say yes.",
    )
    otlp_endpoint: str = Field(
        default="",
        description="URL of an OpenTelemetry collector that gets traces (OTLP over HTTP, such as "
        "http://localhost:4318); unset: no traces.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=LARGEST_SEED,
        description="Seed from which every other seed is derived.",
    )
    training: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Overrides of the device profile by stage: generation, reward, ppo, gate.",
    )

    @field_validator("home")
    @classmethod
    def _expand_home(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @property
    def url(self) -> str:
        """Return the database URL in force."""
        return self.database_url or f"sqlite:///{self.home / 'rankloop.db'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Rank the sources: arguments, environment, `rankloop.toml`, defaults."""
        toml = TomlConfigSettingsSource(settings_cls)
        return init_settings, env_settings, SecretFiles(settings_cls), toml


class SecretFiles(PydanticBaseSettingsSource):
    """Read the settings that hold secrets from files: `RANKLOOP_…_FILE`, or systemd's credentials.

    None of them can be in the database; the environment comes first.
    """

    FIELDS = ("database_url", "metrics_token")

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return the value of one field, or None."""
        found = secret_text(f"RANKLOOP_{field_name.upper()}") if field_name in self.FIELDS else ""
        return found or None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the fields that a file holds."""
        found = {name: self.get_field_value(None, name)[0] for name in self.FIELDS}
        return {name: value for name, value in found.items() if value}


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; raise `BadInput` naming the setting that does not fit.

    Overrides that are None are left to the environment, the file and the defaults.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "settings"
        raise BadInput(
            f"Setting {field} (RANKLOOP_{field.upper().replace('.', '__')} or rankloop.toml): "
            f"{first['msg']}."
        ) from error
    except ValueError as error:
        raise BadInput(f"rankloop.toml or a RANKLOOP_ variable cannot be read: {error}.") from error
