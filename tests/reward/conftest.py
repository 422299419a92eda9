"""A tiny model, and a home with a project on it, for tests of training."""

import shutil
from pathlib import Path

import pytest
import torch

from labeling.imports.prompts import add_starter_prompts
from labeling.policies import create_first_policy
from labeling.projects import create_project
from labeling.simulated.preferences import load_preference
from labeling.simulated.simulation import simulate
from reward.generation.pool import fill_pool
from reward.language_models.backbone import Backbone, load_backbone
from storage.engine import build_engine, writing
from storage.settings import Settings, load_settings
from tests.tiny_model import make_tiny_model

# Sizes for seconds, and a gate that a model of random weights can pass.
TRAINING = {
    "backbone": {"top_layers": 2, "rank": 4},
    "sampling": {"max_new_tokens": 12},
    "reward": {"epochs": 1},
    "ppo": {"iterations": 2, "prompts_per_iteration": 8, "max_prompt_tokens": 600},
    "evaluation": {"prompts": 8, "baseline_prompts": 2, "heldout_tokens": 200},
    "gate": {
        "min_accuracy": -1.0,
        "min_win_rate": -1.0,
        "min_length_ratio": 0.0,
        "max_length_ratio": 1e9,
        "max_identical": 1.0,
        "min_second_win_rate": -1.0,
        "min_distinct_ratio": 0.0,
        "max_repetition_rise": 1.0,
        "max_refusal_rise": 1.0,
        "max_perplexity_ratio": 1e9,
    },
}


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny model."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


def fresh_backbone(folder: Path) -> Backbone:
    """Load the tiny model: four layers, adapters in the top two."""
    return load_backbone(
        folder, device=torch.device("cpu"), dtype=torch.float32, top_layers=2, rank=4
    )


@pytest.fixture
def backbone(tiny_folder: Path) -> Backbone:
    """Return a fresh backbone, which nothing has trained."""
    return fresh_backbone(tiny_folder)


def tiny_settings(home: Path, model: Path, **overrides: object) -> Settings:
    """Return settings of a home whose first policy is the tiny model."""
    return load_settings(
        home=home,
        model=str(model),
        system_prompt="",
        pool_tasks=34,
        judgments_per_round=30,
        device="cpu",
        threads=1,
        report_to="none",
        training=TRAINING,
        **overrides,
    )


@pytest.fixture(scope="session")
def judged_template(
    tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Path:
    """Return a home with 30 simulated judgments of the tiny model's completions."""
    home = tmp_path_factory.mktemp("judged") / "home"
    home.mkdir()
    settings = tiny_settings(home, tiny_folder)
    shutil.copyfile(sqlite_template, home / "rankloop.db")
    engine = build_engine(settings.url)
    with writing(engine) as session:
        project = create_project(session, name="default", settings=settings)
        add_starter_prompts(session, project=project, heldout_share=0.2)
        create_first_policy(
            session, project_id=project.id, name="tiny", checkpoint_uri=str(tiny_folder)
        )
    simulate(
        engine,
        project=project,
        annotators=2,
        judgments=30,
        noise=0.0,
        preference=load_preference("shorter"),
        seed=0,
        minutes=30,
        fill_pool=lambda: fill_pool(engine, settings, wanted=settings.pool_tasks),
        progress=lambda done, total: None,
    )
    engine.dispose()
    return home


@pytest.fixture
def judged(judged_template: Path, tiny_folder: Path, tmp_path: Path) -> Settings:
    """Return settings of a copy of the judged home."""
    home = tmp_path / "home"
    shutil.copytree(judged_template, home)
    return tiny_settings(home, tiny_folder)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """A tiny model is faster on one thread, and a second one only spins."""
    torch.set_num_threads(1)
