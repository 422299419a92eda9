"""Real completions to rank: every starter prompt answered K times by the embedded model, once.

    python -m benchmarks.simulated_rankings --work DIR

About 20 minutes on one core. The file grows by a chunk at a time and is continued after an
interruption; a chunk's seed is its number, so the file is the same either way.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy
import torch
from sqlmodel import select

from labeling.imports.prompts import add_starter_prompts
from labeling.judging.rankings import dense_ranks
from labeling.keys import key_of
from labeling.policies import create_first_policy
from labeling.projects import create_project
from labeling.simulated.preferences import Messages, Preference
from labeling.simulated.simulation import noisy_ranks
from labeling.work_queue.tasks import NewCompletion
from reward.generation.pool import answer_prompts
from reward.language_models.models import model_folder
from reward.running.runtime import Runtime
from storage.engine import build_engine, reading, writing
from storage.migrate import upgrade
from storage.settings import EMBEDDED_MODEL, load_settings
from storage.tables import Prompt, Split

FILE = "completions.jsonl"
CHUNK = 24  # prompts answered together: with K = 4, one batch of decoding
HELDOUT_SHARE = 0.1


@dataclass(frozen=True)
class AnsweredPrompt:
    """A prompt and its K completions; `ended` says which the policy ended by itself."""

    group: int
    heldout: bool
    messages: Messages
    completions: list[str]
    ended: list[bool]


def main() -> None:
    """Write the file, or go on with it."""
    options = _options()
    generate(options.work, options.model, options.threads, limit=options.prompts)


def generate(work: Path, model: str, threads: int = 0, *, limit: int | None = None) -> Path:
    """Answer starter prompts into `work`, held-out ones first; go on where the file ends.

    `limit` is rounded up to whole chunks; None answers them all.
    """
    work.mkdir(parents=True, exist_ok=True)
    if threads:
        torch.set_num_threads(threads)
    runtime, prompts = _set_up(work / "home", model, threads)
    file = work / FILE
    wanted = len(prompts) if limit is None else min(limit, len(prompts))
    for start in range(_answered(file, len(prompts)), wanted, CHUNK):
        chunk = prompts[start : start + CHUNK]
        answered = answer_prompts(runtime, None, chunk, seed=start // CHUNK)
        rows = [asdict(_row(p, found)) for p, found in zip(chunk, answered, strict=True)]
        with file.open("a") as stream:
            stream.write("".join(json.dumps(row) + "\n" for row in rows))
        print(f"{start + len(chunk)} of {len(prompts)} prompts answered", flush=True)
    return file


def read_completions(work: Path) -> list[AnsweredPrompt]:
    """Return what `generate` wrote, prompts with fewer than two completions left out."""
    with (work / FILE).open() as stream:
        rows = [AnsweredPrompt(**json.loads(line)) for line in stream]
    return [row for row in rows if len(row.completions) > 1]


def true_ranks(prompt: AnsweredPrompt, preference: Preference) -> list[int]:
    """Return the clean ranks of a prompt's completions."""
    return dense_ranks([-_level(preference, prompt, text) for text in prompt.completions])


def judged_ranks(
    prompt: AnsweredPrompt, preference: Preference, noise: float, seed: int
) -> list[int]:
    """Return the ranks that a simulated annotator gives, with the share `noise` of pairs wrong."""
    scores = [_level(preference, prompt, text) for text in prompt.completions]
    return noisy_ranks(scores, noise, numpy.random.default_rng((seed, prompt.group)))


def _level(preference: Preference, prompt: AnsweredPrompt, text: str) -> float:
    return preference(prompt.messages, text)


def _set_up(home: Path, model: str, threads: int) -> tuple[Runtime, list[Prompt]]:
    home.mkdir(exist_ok=True)
    settings = load_settings(home=home, model=model, threads=threads, device="cpu")
    folder = model_folder(settings, lambda what, share: None)
    engine = build_engine(settings.url)
    upgrade(engine)
    with reading(engine) as session:
        known = session.exec(select(Prompt.id)).first() is not None
    if not known:
        with writing(engine) as session:
            project = create_project(session, name=settings.project, settings=settings)
            add_starter_prompts(session, project=project, heldout_share=HELDOUT_SHARE)
            create_first_policy(
                session, project_id=key_of(project), name="embedded", checkpoint_uri=folder
            )
    with reading(engine) as session:
        prompts = list(session.exec(select(Prompt)))
    # An order that owes nothing to the sources' order in the file.
    prompts.sort(key=lambda one: (one.split is not Split.HELDOUT, one.content_sha256))
    return Runtime(engine, settings), prompts


def _answered(file: Path, prompts: int) -> int:
    """Return how many prompts the file has, after cutting what an interruption left over."""
    if not file.exists():
        return 0
    lines = file.read_text().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) == prompts:
        return prompts
    kept = whole[: len(whole) // CHUNK * CHUNK]
    file.write_text("".join(kept))
    return len(kept)


def _row(prompt: Prompt, found: Sequence[NewCompletion]) -> AnsweredPrompt:
    return AnsweredPrompt(
        group=key_of(prompt),
        heldout=prompt.split is Split.HELDOUT,
        messages=prompt.messages,
        completions=[one.text for one in found],
        ended=[one.finish_reason == "stop" for one in found],
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulated_rankings",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of the file")
    parser.add_argument("--model", default=EMBEDDED_MODEL, help="what answers")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all cores")
    parser.add_argument(
        "--prompts",
        type=int,
        help=f"stop when this many are answered, the held-out ones first, {CHUNK} at a time",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
