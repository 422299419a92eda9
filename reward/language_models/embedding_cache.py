"""Embeddings kept by a hash of their text, so that a text is encoded once."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy
from safetensors.numpy import load_file, save_file

from storage.errors import Unavailable

KEY_BYTES = 16


class EmbeddingCache:
    """At most `limit` embeddings; the oldest go first."""

    def __init__(self, limit: int) -> None:
        """Start empty."""
        self.limit = limit
        self.changed = False  #: since the last `load` or `save`
        self._vectors: dict[bytes, numpy.ndarray] = {}

    def __len__(self) -> int:
        """Return how many embeddings are kept."""
        return len(self._vectors)

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Return those of `texts`, each once, that have no embedding here."""
        return [text for text in dict.fromkeys(texts) if _key(text) not in self._vectors]

    def put(self, texts: Sequence[str], vectors: numpy.ndarray) -> None:
        """Keep the rows of `vectors` (N, D) as the embeddings of N texts."""
        for text, vector in zip(texts, vectors, strict=True):
            self._vectors[_key(text)] = vector
        self.changed = True
        for key in list(self._vectors)[: max(0, len(self._vectors) - self.limit)]:
            del self._vectors[key]

    def get(self, text: str) -> numpy.ndarray | None:
        """Return the embedding (D,) of a text, or None."""
        return self._vectors.get(_key(text))

    def save(self, file: Path) -> None:
        """Write everything kept as safetensors, whole or not at all."""
        if not self._vectors:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.name}.{os.getpid()}.part")
        keys = numpy.frombuffer(b"".join(self._vectors), dtype=numpy.uint8)
        vectors = numpy.stack(list(self._vectors.values()))
        save_file({"keys": keys.reshape(-1, KEY_BYTES), "vectors": vectors}, unfinished)
        os.replace(unfinished, file)
        self.changed = False

    def load(self, file: Path) -> None:
        """Add what `save` wrote, if the file is there; raise `Unavailable` where it is broken."""
        if not file.exists():
            return
        try:
            state = load_file(file)
            keys, vectors = state["keys"], state["vectors"]
        except Exception as error:  # safetensors raises kinds of its own.
            raise Unavailable(
                f"The cache file {file} cannot be read ({error}); delete it."
            ) from error
        for key, vector in zip(keys, vectors, strict=True):
            self._vectors[key.tobytes()] = vector


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:KEY_BYTES]
