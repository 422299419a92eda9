"""Tasks of lm-eval on the tiny model, from local files, against lm-eval's own model of it."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch

from reward.evaluating.harness import run_tasks
from reward.language_models.backbone import Backbone
from storage.errors import BadInput, Unavailable

lm_eval = pytest.importorskip("lm_eval")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

QUESTIONS = [
    {"question": "The sky is", "choices": ["blue", "loud", "seven"], "answer": 0},
    {"question": "Two and two are", "choices": ["three", "four"], "answer": 1},
    {"question": "Bread is made of", "choices": ["flour", "rain"], "answer": 0},
]
CHOICE = """
task: tiny_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: choices
doc_to_target: answer
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""
ROLLING = """
task: tiny_rolling
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{question}}}}"
metric_list: [{{metric: byte_perplexity, aggregation: weighted_perplexity}}]
"""
GENERATE = """
task: tiny_generate
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
generation_kwargs: {{until: ["zz"], max_gen_toks: 4}}
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{choices[answer]}}}}"
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of three tasks on one file."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "questions.jsonl"
    data.write_text("\n".join(json.dumps(one) for one in QUESTIONS))
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    for name, text in (("choice", CHOICE), ("rolling", ROLLING), ("generate", GENERATE)):
        (tasks / f"{name}.yaml").write_text(text.format(data=data))
    return tasks


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
    (folder.parent / "questions.jsonl").write_text("\n".join(json.dumps(one) for one in rows))
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


def test_without_lm_eval_the_extra_is_named(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(Unavailable, match=r"pip install rankloop\[eval\]"):
        run_tasks(backbone, None, ["tiny_choice"])
