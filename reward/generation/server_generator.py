"""Completions from an OpenAI-compatible server, such as `vllm serve MODEL --enable-lora`.

A policy's checkpoint is a LoRA folder in peft's layout, so the server loads it as it is, through
vLLM's `/v1/load_lora_adapter` (the server needs VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and must see
the same folder). Prompts go out as token ids; the ids of the answers come back where the server
knows `return_token_ids`, else the text is tokenized. The server's log-probabilities are not asked
for: what trains computes its own.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from reward.generation.conversations import answer_ids
from reward.generation.sampling import Sample, SamplingSettings
from reward.language_models.backbone import Backbone
from storage.errors import Unavailable


class Completions(Protocol):
    """A server, or several that look like one."""

    @property
    def requests_at_once(self) -> int:
        """Return how many prompts may be under way."""
        ...

    def base_model(self) -> str:
        """Return the name of the model itself."""
        ...

    def load_adapter(self, name: str, folder: Path) -> None:
        """Make a policy known under a name."""
        ...

    def unload_adapter(self, name: str) -> None:
        """Forget a policy."""
        ...

    def complete(self, request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the choices of a completion request, by their index."""
        ...

    def wrong(self, what: str) -> Unavailable:
        """Return the error of an answer that no completions API gives."""
        ...


@dataclass(frozen=True)
class ServerGenerator:
    """Samples a model or an adapter that the server has under the name `model`."""

    server: Completions
    model: str
    backbone: Backbone  #: of the same model: its tokenizer and its end tokens

    def generate(
        self, prompts: Sequence[Sequence[int]], settings: SamplingSettings, *, seed: int
    ) -> list[Sample]:
        """Return one completion for each prompt; `log_probs` stay empty.

        Raises `Unavailable` where the server cannot be asked or answers with something else.
        """
        rows: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for row, prompt in enumerate(prompts):
            rows[tuple(prompt)].append(row)
        found: dict[int, Sample] = {}
        with ThreadPoolExecutor(self.server.requests_at_once) as pool:
            jobs = [
                (own, pool.submit(self._ask, prompt, len(own), settings, seed_of(seed, own[0])))
                for prompt, own in rows.items()
            ]
            for own, job in jobs:
                found.update(zip(own, job.result(), strict=True))
        return [found[row] for row in range(len(prompts))]

    def _ask(
        self, prompt: Sequence[int], count: int, settings: SamplingSettings, seed: int
    ) -> list[Sample]:
        choices = self.server.complete(
            {
                "model": self.model,
                "prompt": list(prompt),
                "n": count,
                "max_tokens": settings.max_new_tokens,
                "temperature": settings.temperature,
                "top_p": settings.top_p,
                "seed": seed,
                "return_token_ids": True,
            }
        )
        return [self._sample(one, settings.max_new_tokens) for one in choices]

    def _sample(self, choice: Mapping[str, Any], limit: int) -> Sample:
        ended = choice.get("finish_reason") == "stop"
        ids, ends = choice.get("token_ids"), self.backbone.end_tokens
        if isinstance(ids, list) and all(isinstance(one, int) for one in ids):
            # An answer of nothing has the end token, too: a score is read off at least one token.
            closed = bool(ids) and (not ended or ids[-1] in ends)
            return Sample(ids if closed else [*ids, ends[-1]], ended)
        text = choice.get("text")
        if not isinstance(text, str):
            raise self.server.wrong("returned a completion without text")
        found = answer_ids(self.backbone.tokenizer, text, ended=ended, end_token=ends[-1])
        # A text may be tokenized into more pieces than it was drawn in.
        return Sample(found[:limit] if not ended else found, ended)


@contextmanager
def served_policy(
    server: Completions, backbone: Backbone, folder: Path | None
) -> Iterator[ServerGenerator]:
    """Yield a generator of a policy's folder, or of the bare model; unload the folder after."""
    if folder is None:
        yield ServerGenerator(server, server.base_model(), backbone)
        return
    name = adapter_name(folder)
    server.load_adapter(name, folder)
    try:
        yield ServerGenerator(server, name, backbone)
    finally:
        server.unload_adapter(name)


def adapter_name(folder: Path) -> str:
    """Return the name that a policy's folder goes by on a server; another folder has another."""
    digest = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()
    return f"rankloop-{folder.name}-{digest[:8]}"


def seed_of(seed: int, row: int) -> int:
    """Return a request's seed (31 bits), so that prompts of one call draw apart."""
    digest = hashlib.sha256(f"{seed}/{row}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
