"""`make bench-training`: the speeds of training, each against its peer, printed as tables.

python -m benchmarks.training            everything, about 80 minutes on 2 cores
python -m benchmarks.training --quick    fewer iterations, about 25 minutes

In order: PPO against trl 1.12 (12 minutes, 5 if quick), the reward model against TRL's
RewardTrainer (25 and 10), the trainer beside the web server (5 and 3), reward curves of PPO beside
trl 1.12's (36, on three seeds, and 5, on one). The embedded model is prepared in RANKLOOP_HOME, or
in `--work`, where trl 1.12 is installed too; both are kept.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.pages import has_browser
from benchmarks.ppo_against_trl import PEER, ROOT
from reward.language_models.models import model_folder
from storage.errors import RankloopError
from storage.settings import load_settings


def main() -> None:
    """Run what can be run; end with 1 where a benchmark failed."""
    options = _options()
    model = options.model or _prepare_model(options.work)
    docs = ["--docs"] if options.docs else []
    failed = [
        title
        for title, module, more, obstacle in _benchmarks(options)
        if not _run(title, module, ["--model", str(model), *more, *docs], obstacle)
    ]
    if failed:
        raise SystemExit(f"Failed, with the error above: {'; '.join(failed)}.")


def _benchmarks(options: argparse.Namespace) -> list[tuple[str, str, list[str], str]]:
    """Return title, module, options and what stands in the way, if anything, of each."""
    quick, work = options.quick, str(options.work)
    return [
        (
            "PPO against trl 1.12",
            "ppo_against_trl",
            ["--work", work, "--iterations", "2" if quick else "4"],
            _peer_missing(options.work),
        ),
        (
            "Reward model against TRL's RewardTrainer",
            "reward_against_trl",
            ["--rankings", "4", "--heldout", "8", "--passes", "2"] if quick else [],
            "",
        ),
        (
            "Trainer beside the web server",
            "together",
            ["--submits", "30", "--iterations", "2"] if quick else [],
            "" if has_browser() else "there is no Chromium; `make test` as root installs it",
        ),
        (
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


def _run(title: str, module: str, arguments: list[str], obstacle: str) -> bool:
    """Run one benchmark in a process of its own; say whether it ended well or was skipped."""
    print(f"\n{title}\n", flush=True)
    if obstacle:
        print(f"Skipped: {obstacle}.", flush=True)
        return True
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
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
    parser.add_argument("--quick", action="store_true", help="fewer iterations")
    parser.add_argument("--model", type=Path, help="folder of the language model")
    parser.add_argument("--work", type=Path, default=Path("benchmark-work"), help="kept folder")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs")
    options = parser.parse_args()
    options.work = options.work.absolute()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.model:
        options.model = options.model.absolute()
    return options


if __name__ == "__main__":
    main()
