"""Tasks of lm-eval on the tiny model, from local files, against lm-eval's own model of it."""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from reward.evaluating.harness import check_tasks, run_tasks
from reward.language_models.backbone import Backbone
from storage.errors import BadInput, Unavailable
from tests.reward.local_tasks import CHOICE, QUESTIONS, write_questions, write_tasks

lm_eval = pytest.importorskip("lm_eval")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of three tasks on one file."""
    return write_tasks(tmp_path, monkeypatch)


def _log_prob(backbone: Backbone, context: str, continuation: str) -> float:
    before = backbone.tokenizer(context)["input_ids"]
    after = backbone.tokenizer(continuation)["input_ids"]
    ids = torch.tensor([before + after])
    log_probs = backbone.model(ids).logits[0].log_softmax(-1)
    places = range(len(before) - 1, len(before) + len(after) - 1)
    return float(log_probs[places, ids[0, len(before) :]].sum())


def test_accuracy_is_that_of_the_likeliest_choice(backbone: Backbone, folder: Path) -> None:
    right = []
    for one in QUESTIONS:
        scores = [_log_prob(backbone, one["question"], f" {text}") for text in one["choices"]]
        right.append(scores.index(max(scores)) == one["answer"])
    found = run_tasks(backbone, None, ["tiny_choice"], folder=folder)
    assert found["tiny_choice"]["acc"] == pytest.approx(sum(right) / len(right))
    assert "acc_stderr" in found["tiny_choice"]


def test_rolling_perplexity_is_that_of_the_texts(backbone: Backbone, folder: Path) -> None:
    total = sum(_log_prob(backbone, "<|im_end|>", one["question"]) for one in QUESTIONS)
    size = sum(len(one["question"].encode()) for one in QUESTIONS)
    found = run_tasks(backbone, None, ["tiny_rolling"], folder=folder)
    assert found["tiny_rolling"]["byte_perplexity"] == pytest.approx(
        math.exp(-total / size), rel=1e-3
    )


def test_generation_is_greedy_and_cut_where_the_task_says(backbone: Backbone, folder: Path) -> None:
    ids = torch.tensor([backbone.tokenizer("Why")["input_ids"]])
    drawn = backbone.model.generate(ids, max_new_tokens=4, do_sample=False, eos_token_id=None)
    text = backbone.tokenizer.decode(drawn[0, ids.shape[1] :])
    rows = [{"question": "Why", "choices": [text, "x"], "answer": right} for right in (0, 0, 1)]
    write_questions(folder.parent / "questions.jsonl", rows)
    found = run_tasks(backbone, None, ["tiny_generate"], folder=folder)
    assert found["tiny_generate"]["exact_match"] == pytest.approx(2 / 3)


def test_it_is_the_adapter_that_is_asked(backbone: Backbone, folder: Path) -> None:
    backbone.add_adapter("shaken")
    for weight in backbone.parameters("shaken"):
        torch.nn.init.normal_(weight, std=1.0, generator=torch.Generator().manual_seed(0))
    bare, shaken = (
        run_tasks(backbone, adapter, ["tiny_rolling"], folder=folder)["tiny_rolling"]
        for adapter in (None, "shaken")
    )
    assert bare["byte_perplexity"] != pytest.approx(shaken["byte_perplexity"], rel=0.01)


def test_scores_and_texts_agree_with_lm_evals_own_model(backbone: Backbone) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from reward.evaluating.harness_model import PolicyLM

    theirs = HFLM(backbone.model, tokenizer=backbone.tokenizer, backend="causal", batch_size=2)
    ours = PolicyLM(backbone, "policy", batch_size=2, seed=0)
    pairs = [("Hello there", " you"), ("", "alone"), ("a b c", " d e f g h")]

    def requests(kind: str, arguments: list[tuple]) -> list[Instance]:
        return [Instance(kind, {}, args, index) for index, args in enumerate(arguments)]

    scored = [one.loglikelihood(requests("loglikelihood", pairs)) for one in (ours, theirs)]
    for (mine, my_greedy), (other, their_greedy) in zip(*scored, strict=True):
        assert (mine, my_greedy) == (pytest.approx(other, abs=1e-3), their_greedy)
    asked = {"until": ["zz"], "max_gen_toks": 6}
    texts = [
        one.generate_until(requests("generate_until", [("Hello there", asked)]))
        for one in (ours, theirs)
    ]
    assert texts[0] == texts[1]


def test_a_folder_that_is_none_is_named(backbone: Backbone, folder: Path) -> None:
    with pytest.raises(BadInput, match="There is no folder"):
        run_tasks(backbone, None, ["tiny_choice"], folder=folder / "none")


@pytest.mark.slow
def test_a_task_that_does_not_exist_is_named(backbone: Backbone, folder: Path) -> None:
    # lm-eval reads the index of all its own tasks: half a minute.
    with pytest.raises(BadInput, match="There is no task no_such_task"):
        run_tasks(backbone, None, ["no_such_task"], folder=folder)


def test_data_that_is_not_there_is_said(backbone: Backbone, folder: Path) -> None:
    (folder / "choice.yaml").write_text(CHOICE.format(data=folder / "missing.jsonl"))
    with pytest.raises(Unavailable, match="The data of tiny_choice cannot be had"):
        run_tasks(backbone, None, ["tiny_choice"], folder=folder)


def test_a_file_of_data_is_missed_before_any_work_by_its_name_and_that_of_its_task(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "choice.yaml").write_text(CHOICE.format(data="questions.jsonl"))
    monkeypatch.chdir(folder.parent)
    check_tasks(["tiny_choice", "tiny_both"], folder=folder)
    monkeypatch.chdir(folder)
    for task in ("tiny_choice", "tiny_both"):
        with pytest.raises(Unavailable, match=r"choice.yaml has questions.jsonl") as raised:
            check_tasks([task], folder=folder)
        assert f"seen from {folder}" in str(raised.value)


def test_a_group_that_names_itself_is_no_endless_search(folder: Path) -> None:
    (folder / "both.yaml").write_text("group: tiny_both\ntask: [tiny_both, tiny_choice]\n")
    check_tasks(["tiny_both"], folder=folder)


@pytest.mark.parametrize("named", ["*.jsonl", "https://example.org/questions.jsonl"])
def test_what_is_no_single_local_file_is_left_to_lm_eval(folder: Path, named: str) -> None:
    (folder / "choice.yaml").write_text(CHOICE.format(data=f"'{named}'"))
    check_tasks(["tiny_choice"], folder=folder)


def test_a_line_that_is_no_json_is_said_with_task_folder_and_file(
    backbone: Backbone, folder: Path
) -> None:
    data = folder.parent / "questions.jsonl"
    data.write_text(data.read_text() + "\n{broken")
    with pytest.raises(BadInput, match=r"The task tiny_choice of .*tasks, whose data is") as raised:
        run_tasks(backbone, None, ["tiny_choice"], folder=folder)
    assert str(data) in str(raised.value) and str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_field_that_no_document_has_is_said(backbone: Backbone, folder: Path) -> None:
    text = (folder / "choice.yaml").read_text()
    (folder / "choice.yaml").write_text(text.replace("{{question}}", "{{riddle}}"))
    with pytest.raises(BadInput, match="'riddle' is undefined"):
        run_tasks(backbone, None, ["tiny_choice"], folder=folder)


def test_a_task_whose_own_code_fails_without_a_word_is_said(
    backbone: Backbone, folder: Path
) -> None:
    (folder / "own.py").write_text("def text(doc):\n    raise LookupError\n")
    text = (folder / "choice.yaml").read_text()
    (folder / "choice.yaml").write_text(text.replace('"{{question}}"', "!function own.text"))
    with pytest.raises(BadInput, match=r"The task tiny_choice .*cannot be run \(LookupError\)"):
        run_tasks(backbone, None, ["tiny_choice"], folder=folder)


def test_a_file_that_is_no_yaml_is_named(backbone: Backbone, folder: Path) -> None:
    (folder / "choice.yaml").write_text("task: [tiny_choice\nmetric_list: }")
    with pytest.raises(BadInput, match=r"The task file .*choice\.yaml cannot be read \(line 2"):
        run_tasks(backbone, None, ["tiny_choice"], folder=folder)


def test_a_task_that_was_added_is_found_without_lm_evals_own_index(
    backbone: Backbone, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.tasks import TaskManager

    with_own: list[bool] = []

    def noted(**given: Any) -> TaskManager:
        with_own.append(given["include_defaults"])
        return TaskManager(**given)

    monkeypatch.setattr("lm_eval.tasks.TaskManager", noted)
    run_tasks(backbone, None, ["tiny_choice"], folder=folder)
    (folder / "more.yaml").write_text(
        (folder / "choice.yaml").read_text().replace("tiny_choice", "tiny_more")
    )
    found = run_tasks(backbone, None, ["tiny_more"], folder=folder)
    assert found["tiny_more"]["sample_len"] == len(QUESTIONS)
    assert with_own == [False, False]


def test_a_group_brings_its_tasks(backbone: Backbone, folder: Path) -> None:
    found = run_tasks(backbone, None, ["tiny_both"], folder=folder)
    assert {"tiny_choice", "tiny_rolling"} <= set(found)


def test_one_document_has_a_score_and_no_standard_error(backbone: Backbone, folder: Path) -> None:
    found = run_tasks(backbone, None, ["tiny_choice"], folder=folder, limit=1)["tiny_choice"]
    assert found["sample_len"] == 1
    assert found["acc"] in (0.0, 1.0)
    assert "acc_stderr" not in found
    json.dumps(found, allow_nan=False)


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what comes before the continuations that a policy is asked to score."""
    from reward.evaluating.harness_model import PolicyLM

    seen: list[str] = []
    score = PolicyLM.loglikelihood

    def noted(self: Any, requests: Any, **kwargs: Any) -> Any:
        seen.extend(request.args[0] for request in requests)
        return score(self, requests, **kwargs)

    monkeypatch.setattr(PolicyLM, "loglikelihood", noted)
    return seen


def test_examples_come_before_a_document(
    backbone: Backbone, folder: Path, contexts: list[str]
) -> None:
    run_tasks(backbone, None, ["tiny_choice"], folder=folder)
    assert set(contexts) == {one["question"] for one in QUESTIONS}
    contexts.clear()
    run_tasks(backbone, None, ["tiny_choice"], folder=folder, few_shot=1)
    answered = {f"{one['question']} {one['choices'][one['answer']]}" for one in QUESTIONS}
    for context in contexts:
        example, _, asked = context.partition("\n\n")
        assert example in answered
        assert asked in {one["question"] for one in QUESTIONS}


def test_documents_can_go_through_the_chat_template(
    backbone: Backbone, folder: Path, contexts: list[str]
) -> None:
    run_tasks(backbone, None, ["tiny_choice"], folder=folder, chat=True)
    for context in contexts:
        assert context.startswith("<|im_start|>user\n")
        assert context.endswith("<|im_start|>assistant\n")


def test_less_is_scored_together_where_memory_runs_out(
    backbone: Backbone, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reward.evaluating.harness_model import PolicyLM

    plain = run_tasks(backbone, None, ["tiny_choice", "tiny_rolling"], folder=folder)
    sizes: list[int] = []
    score = PolicyLM._score

    def scarce(self: PolicyLM, pairs: Sequence[Any]) -> list[tuple[float, bool]]:
        sizes.append(len(pairs))
        if len(pairs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return score(self, pairs)

    monkeypatch.setattr(PolicyLM, "_score", scarce)
    found = run_tasks(backbone, None, ["tiny_choice", "tiny_rolling"], folder=folder, batch_size=4)
    assert found["tiny_choice"] == plain["tiny_choice"]
    assert found["tiny_rolling"] == pytest.approx(plain["tiny_rolling"])
    assert sizes[:3] == [4, 2, 2]


def test_no_memory_for_a_single_text_is_said(
    backbone: Backbone, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reward.evaluating.harness_model import PolicyLM

    def never(self: PolicyLM, pairs: Sequence[Any]) -> list[tuple[float, bool]]:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(PolicyLM, "_score", never)
    with pytest.raises(Unavailable, match="not enough memory for one text of a task"):
        run_tasks(backbone, None, ["tiny_choice"], folder=folder)


def test_how_far_it_is_is_told(backbone: Backbone, folder: Path) -> None:
    told: list[tuple[int, int]] = []
    run_tasks(
        backbone,
        None,
        ["tiny_choice", "tiny_rolling", "tiny_generate"],
        folder=folder,
        batch_size=4,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(4, 7), (7, 7), *[(done, 3) for done in (1, 2, 3)] * 2]


def test_what_stops_the_progress_is_no_fault_of_the_task(backbone: Backbone, folder: Path) -> None:
    def gone(done: int, total: int) -> None:
        raise ConnectionError("the database is gone")

    with pytest.raises(ConnectionError, match="the database is gone"):
        run_tasks(backbone, None, ["tiny_choice"], folder=folder, progress=gone)


def test_without_lm_eval_the_extra_is_named(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(Unavailable, match=r"pip install rankloop\[eval\]"):
        run_tasks(backbone, None, ["tiny_choice"])
