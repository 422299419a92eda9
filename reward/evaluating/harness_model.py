"""A policy of a backbone as a model of the `lm-eval` harness.

It computes as everything else here does, by `trunk` and `top`, so every tuning method works and
nothing is merged or saved first. Imported by `reward/evaluating/harness.py` alone: lm-eval is an
extra. Leaves out: stopping a generation at a stop string (it is cut there afterwards), several
processes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from reward.generation.sampling import GREEDY, SamplingSettings, sample
from reward.language_models.backbone import Backbone
from reward.language_models.padding import answered_batch
from reward.policy_optimization.logprobs import most_likely, token_log_probs
from reward.training.out_of_memory import Halving
from storage.errors import Unavailable

Request = tuple[Any, list[int], list[int]]


class PolicyLM(TemplateLM):
    """One adapter of a backbone, or the bare model, with the methods that lm-eval calls."""

    def __init__(
        self,
        backbone: Backbone,
        adapter: str | None,
        *,
        batch_size: int,
        seed: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Wrap an adapter; raise `Unavailable` where the model has no end-of-text token.

        `progress` hears how many requests of a kind are done, and how many there are.
        """
        super().__init__()
        self.backbone = backbone
        self.adapter = adapter
        self.tokenizer: Any = backbone.tokenizer
        self.batch_size = batch_size
        self.seed = seed
        self.progress = progress
        self.interrupted: Exception | None = None  #: what `progress` raised
        if not backbone.end_tokens:
            raise Unavailable("The model has no end-of-text token; choose another one.")

    @property
    def device(self) -> torch.device:
        """Return where the model computes."""
        return self.backbone.device

    @property
    def tokenizer_name(self) -> str:
        """Return a name for lm-eval's cache of tokenised requests."""
        return str(self.tokenizer.name_or_path).replace("/", "__")

    @property
    def eot_token_id(self) -> int:
        """Return the token that ends a text."""
        own = self.tokenizer.eos_token_id
        return int(own if own is not None else self.backbone.end_tokens[-1])

    @property
    def prefix_token_id(self) -> int:
        """Return the token that stands before a text without context."""
        own = self.tokenizer.bos_token_id
        return self.eot_token_id if own is None else int(own)

    @property
    def max_gen_toks(self) -> int:
        """Return how many tokens are generated where a task does not say."""
        return min(256, self.backbone.context_length // 2)

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Return the ids of a text, with the first token that the model wants, once."""
        del kwargs
        if add_special_tokens is None:
            first = self.tokenizer.bos_token
            add_special_tokens = not (first and string.startswith(first))
        ids: list[int] = self.tokenizer(string, add_special_tokens=add_special_tokens)["input_ids"]
        return ids

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Return a conversation as the model's chat template writes it."""
        return str(
            self.tokenizer.apply_chat_template(
                chat_history,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        )

    def _loglikelihood_tokens(
        self, requests: list[Request], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """Return (log p, whether greedy decoding gives it) of each continuation.

        A request is (anything, the context's ids, the continuation's ids); a context that leaves no
        room loses its beginning.
        """
        del kwargs
        return self._scored(requests, self._say)

    @torch.no_grad()
    def _scored(
        self, requests: list[Request], say: Callable[[int, int], None]
    ) -> list[tuple[float, bool]]:
        found: dict[int, tuple[float, bool]] = {}
        order = sorted(
            range(len(requests)), key=lambda i: -len(requests[i][1]) - len(requests[i][2])
        )

        def scored(size: int) -> dict[int, tuple[float, bool]]:
            rows = order[len(found) : len(found) + size]
            pairs = [self._fit(requests[i][1], requests[i][2]) for i in rows]
            return dict(zip(rows, self._score(pairs), strict=True))

        halving = Halving(self.batch_size, "one text of a task")
        while len(found) < len(order):
            found |= halving.run(scored)
            say(len(found), len(order))
        # The next requests would only run out of memory again.
        self.batch_size = halving.size
        return [found[index] for index in range(len(requests))]

    def _say(self, done: int, total: int) -> None:
        try:
            self.progress(done, total)
        except Exception as error:
            self.interrupted = error
            raise

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Return log p of whole texts, each token with as much context as a window holds."""
        del disable_tqdm
        totals: list[float] = []
        for (text,) in (request.args for request in requests):
            windows = get_rolling_token_windows(
                token_list=self.tok_encode(text),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.backbone.context_length - 1,
                context_len=1,
            )
            parts = [make_disjoint_window(window) for window in windows]
            scored = self._scored([(None, *part) for part in parts], lambda done, total: None)
            totals.append(sum(value for value, _ in scored))
            self._say(len(totals), len(requests))
        return totals

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Return a completion of each context, cut at the first of the task's stop strings."""
        del disable_tqdm
        texts: list[str] = []
        for request in requests:
            texts.append(self._generate(*request.args))
            self._say(len(texts), len(requests))
        return texts

    def _generate(self, context: str, asked: dict[str, Any]) -> str:
        given: dict[str, Any] = dict(normalize_gen_kwargs(asked, self.max_gen_toks))
        new = min(int(given["max_gen_toks"]), self.backbone.context_length // 2)
        settings = SamplingSettings(
            max_new_tokens=new,
            temperature=float(given.get("temperature") or 0.0) or GREEDY,
            top_p=float(given.get("top_p") or 1.0),
        )
        ids = self.tok_encode(context)[-(self.backbone.context_length - new) :]
        (drawn,) = sample(
            self.backbone, self.adapter, [ids], settings, seed=self.seed, batch_size=1
        )
        kept = [token for token in drawn.ids if token not in self.backbone.end_tokens]
        text = str(self.tokenizer.decode(kept, skip_special_tokens=True))
        return postprocess_generated_text(text, given["until"], None)

    def _fit(self, context: list[int], continuation: list[int]) -> tuple[list[int], list[int]]:
        room = self.backbone.context_length
        continuation = continuation[-(room - 1) :]
        return context[-(room - len(continuation)) :], continuation

    def _score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[tuple[float, bool]]:
        batch = answered_batch([one for one, _ in pairs], [two for _, two in pairs], self.device)
        hidden = batch.predicting(self.backbone.top(self.backbone.trunk(batch.ids), self.adapter))
        weight, tokens = self.backbone.output_weight_of(self.adapter), batch.tokens[batch.mask]
        log_probs, _ = token_log_probs(hidden, weight, tokens)
        greedy = most_likely(hidden, weight) == tokens
        sums = batch.spread(log_probs).sum(1).tolist()
        misses = batch.spread((~greedy).long()).sum(1).tolist()
        return [(total, missed == 0) for total, missed in zip(sums, misses, strict=True)]
