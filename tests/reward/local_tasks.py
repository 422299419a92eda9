"""Tasks of lm-eval that read a local file, for what runs them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

QUESTIONS: list[dict[str, Any]] = [
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
BOTH = """
group: tiny_both
task: [tiny_choice, tiny_rolling]
"""


def write_questions(path: Path, rows: Sequence[dict[str, Any]] = QUESTIONS) -> None:
    path.write_text("\n".join(json.dumps(one) for one in rows))


def write_tasks(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of three tasks, and a group of two, on `home`'s file questions.jsonl."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(home / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", home / "cache")
    data = home / "questions.jsonl"
    write_questions(data)
    tasks = home / "tasks"
    tasks.mkdir()
    for name, text in (("choice", CHOICE), ("rolling", ROLLING), ("generate", GENERATE)):
        (tasks / f"{name}.yaml").write_text(text.format(data=data))
    (tasks / "both.yaml").write_text(BOTH)
    return tasks
