"""Where the first policy comes from: the embedded model, a folder, or the Hugging Face Hub."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from reward.language_models.embedded import PREFIX, SMOLLM2, prepare
from reward.language_models.remote_code import allows_code_of
from storage.errors import BadInput, Unavailable
from storage.settings import EMBEDDED_MODEL, Settings

# Weights are safetensors only: nothing that would have to be unpickled is even fetched.
WANTED_FILES = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")

Progress = Callable[[str, float], None]


def is_local(model: str) -> bool:
    """Say whether `model` needs no model hub: it is embedded, or a folder."""
    return model.startswith(PREFIX) or _looks_like_a_path(model)


def is_embedded(model: str) -> bool:
    """Say whether `model` is one that is made from a package, and so can be made again."""
    return model.startswith(PREFIX)


def model_folder(settings: Settings, progress: Progress) -> str:
    """Return a local folder with the model that `settings.model` names, fetching it if needed.

    `progress` is called with what is done and the share of it that is done (0 … 1). Raises
    `BadInput` where the setting names nothing, `Unavailable` where the model cannot be had.
    """
    model = settings.model
    if model == f"{PREFIX}{SMOLLM2.name}":
        return str(prepare(settings.home, progress))
    if model.startswith(PREFIX):
        raise BadInput(
            f"There is no embedded model {model!r}; RANKLOOP_MODEL may be {EMBEDDED_MODEL}."
        )
    if _looks_like_a_path(model):
        return str(check_model_folder(Path(model).expanduser().absolute()))
    if not HUB_ID.fullmatch(model):
        raise BadInput(
            f"RANKLOOP_MODEL {model!r} is neither a folder nor an id like owner/name on the "
            "Hugging Face Hub."
        )
    return str(fetch_from_hub(settings.home, model, progress))


def check_model_folder(folder: Path) -> Path:
    """Return `folder` if it holds a model that can be read safely; raise `Unavailable` if not."""
    if not folder.is_dir():
        raise Unavailable(f"The model folder {folder} does not exist; set RANKLOOP_MODEL to one.")
    if not (folder / "config.json").is_file():
        raise Unavailable(
            f"The model folder {folder} has no config.json; choose one that transformers wrote."
        )
    if not any(folder.glob("*.safetensors")):
        raise Unavailable(
            f"The model folder {folder} has no .safetensors file, and other formats are not read "
            "because they can run code; save the model as safetensors."
        )
    return folder


def fetch_from_hub(home: Path, model: str, progress: Progress) -> Path:
    """Return the folder of the Hub's `model` under home, downloading it the first time.

    An interrupted download goes on where it stopped; the folder has its name only when whole.
    """
    target = home / "models" / model.replace("/", "--")
    if target.is_dir():
        return check_model_folder(target)
    unfinished = target.with_name(f".{target.name}.part")
    unfinished.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        if not target.is_dir():
            progress(f"Downloading {model} from the Hugging Face Hub", 0.0)
            _download(model, unfinished)
            check_model_folder(unfinished)
            os.replace(unfinished, target)
            progress(f"Downloading {model} from the Hugging Face Hub", 1.0)
    return target


def _download(model: str, folder: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    remedy = "or set RANKLOOP_MODEL to a local folder"
    try:
        # Repositories often hold other formats of the same weights in folders.
        wanted = [*WANTED_FILES, "*.py"] if allows_code_of(model) else WANTED_FILES
        snapshot_download(model, local_dir=folder, allow_patterns=wanted, ignore_patterns=["*/*"])
    except GatedRepoError as error:
        raise Unavailable(
            f"{model} is gated: accept its licence on huggingface.co and set HF_TOKEN, {remedy}."
        ) from error
    except RepositoryNotFoundError as error:
        raise Unavailable(
            f"There is no model {model} on the Hugging Face Hub that this account may read; "
            f"correct RANKLOOP_MODEL, {remedy}."
        ) from error
    except Exception as error:
        # The hub client raises errors of httpx, of the system and of its own.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
        raise Unavailable(
            f"{model} could not be downloaded from the Hugging Face Hub ({reason}); check the "
            f"network, {remedy}."
        ) from error


def _looks_like_a_path(model: str) -> bool:
    return model.startswith(("/", "./", "../", "~")) or Path(model).is_dir()
