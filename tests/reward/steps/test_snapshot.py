"""The snapshot step: it sees the project as leads have set it by then."""

from labeling.datasets.snapshots import WITH_MODELS
from labeling.labeling_settings import change_labeling
from reward.running.runtime import Runtime
from reward.steps.outcome import StepContext
from reward.steps.snapshot import take_snapshot
from storage.engine import build_engine, reading, writing
from storage.settings import Settings
from storage.tables import Project, Round, Snapshot


def test_a_round_is_made_by_the_settings_at_its_snapshot(judged: Settings) -> None:
    runtime = Runtime(build_engine(judged.url), judged)
    with writing(runtime.engine) as session:
        project = session.get_one(Project, runtime.project_id)
        project.system_prompt = "Be brief."
        train = {"train": True}
        change_labeling(session, project=project, by=None, section="model_annotators", values=train)
    one = Round(project_id=runtime.project_id, number=1)
    context = StepContext(runtime, one, lambda step, steps, metrics: None, lambda words: None)
    outcome = take_snapshot(context)
    with reading(runtime.engine) as session:
        manifest = session.get_one(Snapshot, outcome.snapshot_id).manifest
    assert manifest["filters"]["accounts"] == WITH_MODELS["accounts"]
    assert runtime.project.system_prompt == "Be brief."
