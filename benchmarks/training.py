"""`make bench-training`: what training costs and learns, beside its peers, printed as tables.

python -m benchmarks.training            about 2 hours and a half on 2 cores
python -m benchmarks.training --quick    fewer iterations, seeds and methods: about 45 minutes
python -m benchmarks.training --whole    every method at every number of rankings: days

In order: PPO against trl 1.12 (12 minutes, 5 if quick), the reward model against TRL's
RewardTrainer (25 and 10), the trainer beside the web server (5 and 3), reward curves of PPO beside
trl 1.12's (36, on three seeds, and 5, on one); completions to rank (20 and 4), every tuning method
on the same 100 rankings (25 and 5), accuracy against the number of rankings (10 and 3). With
`--oasst FILE`, K-wise learning against pairwise; with `--hh FILE`, HH-RLHF's pairs among the
numbers of rankings. The embedded model is prepared in RANKLOOP_HOME, or in `--work`, where trl 1.12
is installed too; both are kept, and so are completions and every accuracy that was measured.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.efficiency_methods import BY_GRADIENT, TRAINED
from benchmarks.pages import has_browser
from benchmarks.ppo_against_trl import PEER, ROOT
from reward.language_models.models import model_folder
from storage.errors import RankloopError
from storage.settings import load_settings


@dataclass(frozen=True)
class Benchmark:
    """A module of this folder that is run in a process of its own."""

    title: str
    module: str
    arguments: list[str]
    #: what stands in its way, if anything
    obstacle: str = ""
    #: whether it can put its table into docs
    documents: bool = True


def main() -> None:
    """Run what can be run; end with 1 where a benchmark failed."""
    options = _options()
    model = options.model or _prepare_model(options.work)
    found = [*_against_peers(options), *_learning(options)]
    failed = [one.title for one in found if not _ran(one, str(model), docs=options.docs)]
    if failed:
        raise SystemExit(f"Failed, with the error above: {'; '.join(failed)}.")


def _against_peers(options: argparse.Namespace) -> list[Benchmark]:
    quick, work = options.quick, str(options.work)
    return [
        Benchmark(
            "PPO against trl 1.12",
            "ppo_against_trl",
            ["--work", work, "--iterations", "2" if quick else "4"],
            _peer_missing(options.work),
        ),
        Benchmark(
            "Reward model against TRL's RewardTrainer",
            "reward_against_trl",
            ["--rankings", "4", "--heldout", "8", "--passes", "2"] if quick else [],
        ),
        Benchmark(
            "Trainer beside the web server",
            "together",
            ["--submits", "30", "--iterations", "2"] if quick else [],
            "" if has_browser() else "there is no Chromium; `make test` as root installs it",
        ),
        Benchmark(
            "Reward curves of PPO and of trl 1.12's",
            "ppo_against_trl",
            [
                *("--work", work, "--learn", "--new-tokens", "24", "--epochs", "2"),
                *("--minibatches", "4", "--learning-rate", "5e-4"),
                *(("--iterations", "3", "--seeds", "1") if quick else ("--iterations", "8")),
            ],
            _peer_missing(options.work),
        ),
    ]


def _learning(options: argparse.Namespace) -> list[Benchmark]:
    quick, work = options.quick, str(options.work / "rankings")
    methods = ["feature", BY_GRADIENT]
    if options.whole:
        methods += [name for name in TRAINED if name != BY_GRADIENT]
    people = [f"--{name}={file}" for name in ("hh", "oasst") if (file := getattr(options, name))]
    return [
        Benchmark(
            "Completions to rank",
            "simulated_rankings",
            ["--work", work, *(("--prompts", "264") if quick else ())],
            documents=False,
        ),
        Benchmark(
            "Every tuning method on the same rankings",
            "tuning_methods",
            ["--completions", work, *(("--methods", "feature", "head", "lora") if quick else ())],
        ),
        Benchmark(
            "Held-out accuracy against the number of rankings",
            "sample_efficiency",
            [
                *("--work", work, "--methods", *methods, *people),
                *(("--sizes", "25", "50", "100", "--seeds", "0") if quick else ("--all",)),
            ],
            documents=False,
        ),
        Benchmark(
            "K-wise learning against pairwise",
            "kwise_against_pairwise",
            [
                *("--data", str(options.oasst), "--longest", "700" if quick else "1400"),
                *(("--seeds", "0") if quick else ()),
            ],
            "" if options.oasst else "it wants rankings of people: --oasst FILE",
        ),
    ]


def _ran(one: Benchmark, model: str, *, docs: bool) -> bool:
    """Run one benchmark in a process of its own; say whether it ended well or was skipped."""
    print(f"\n{one.title}\n", flush=True)
    if one.obstacle:
        print(f"Skipped: {one.obstacle}.", flush=True)
        return True
    command = [sys.executable, "-m", f"benchmarks.{one.module}", "--model", model, *one.arguments]
    if docs and one.documents:
        command.append("--docs")
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def _peer_missing(work: Path) -> str:
    """Install trl 1.12 beside ours, unless it is there; return why that did not work."""
    peer = work / PEER
    if peer.exists():
        return ""
    unfinished = work / f".{PEER}.part"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
    done = subprocess.run(
        [*install, "--target", str(unfinished), PEER], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return f"pip could not install {PEER} ({reason}); check the network"
    os.replace(unfinished, peer)
    return ""


def _prepare_model(work: Path) -> str:
    """Return the folder of the model that a loop starts from, made as `rankloop init` makes it."""
    given = os.environ.get("RANKLOOP_HOME")
    settings = load_settings(home=Path(given) if given else work / "home")
    settings.home.mkdir(parents=True, exist_ok=True)
    said = set[str]()

    def progress(what: str, share: float) -> None:  # noqa: ARG001
        if what not in said:
            print(f"{what} …", file=sys.stderr, flush=True)
        said.add(what)

    try:
        return model_folder(settings, progress)
    except RankloopError as error:
        raise SystemExit(f"Nothing was measured: {error}") from error


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_true", help="fewer iterations, seeds and methods")
    extent.add_argument("--whole", action="store_true", help="every method's learning curve: days")
    parser.add_argument("--hh", type=Path, metavar="FILE", help="HH-RLHF pairs, .jsonl.gz")
    parser.add_argument("--oasst", type=Path, metavar="FILE", help="Open-Assistant's, .jsonl.gz")
    parser.add_argument("--model", type=Path, help="folder of the language model")
    parser.add_argument("--work", type=Path, default=Path("benchmark-work"), help="kept folder")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs")
    options = parser.parse_args()
    options.work = options.work.absolute()
    options.work.mkdir(parents=True, exist_ok=True)
    for name in ("model", "hh", "oasst"):
        if given := getattr(options, name):
            if not given.exists():
                parser.error(f"--{name}: there is no {given}")
            setattr(options, name, given.absolute())
    return options


if __name__ == "__main__":
    main()
