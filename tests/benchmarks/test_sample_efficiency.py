"""The benchmark of learning curves: its data, what it resumes, and what it prints."""

import gzip
import json
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import sample_efficiency
from benchmarks.curve_plot import draw
from benchmarks.efficiency_data import assistant_rankings, helpful_pairs, simulated
from benchmarks.simulated_rankings import CHUNK, FILE, AnsweredPrompt, generate
from tests.tiny_model import make_tiny_model

NUMBERS = "feature, numbers alone"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a folder with completions of 1 to 13 words, every fourth prompt held out."""
    with (tmp_path / FILE).open("w") as stream:
        for group in range(80):
            texts = [" ".join(["word"] * (1 + (7 * group + 3 * k) % 13)) for k in range(4)]
            row = AnsweredPrompt(
                group=group,
                heldout=group % 4 == 0,
                messages=[{"role": "user", "content": f"Question {group}?"}],
                completions=texts,
                ended=[True] * 4,
            )
            stream.write(json.dumps(asdict(row)) + "\n")
    return tmp_path


def test_training_rankings_are_noisy_and_held_out_ones_are_not(work: Path) -> None:
    data = simulated(work, "shorter", seed=0)
    assert {one.group % 4 for one in data.test} == {0}
    assert not {one.group for one in data.train} & {one.group for one in data.test}

    def wrong(ranked: list) -> float:  # type: ignore[type-arg]
        pairs = [
            (one.ranks[i] < one.ranks[j], len(one.completions[i]) < len(one.completions[j]))
            for one in ranked
            for i in range(4)
            for j in range(i)
            if len(one.completions[i]) != len(one.completions[j])
        ]
        return sum(said != true for said, true in pairs) / len(pairs)

    assert wrong(data.test) == 0
    assert 0.1 < wrong(data.train) < 0.35
    again = simulated(work, "shorter", seed=0)
    assert again == data
    assert simulated(work, "shorter", seed=1).train != data.train


def test_real_pairs_and_rankings_keep_their_split(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "Why?"}]
    pairs = [
        {"prompt": said, "chosen": "Because.", "rejected": "No.", "split": split}
        for split in ("train", "test", "train")
    ]
    sets = [
        {
            "tree": f"t{number // 2}",
            "prompt": "Why?",
            "options": [{"text": "A", "rank": 1}, {"text": "B", "rank": 0}],
        }
        for number in range(12)
    ]
    for name, rows in (("hh", pairs), ("oasst", sets)):
        with gzip.open(tmp_path / f"{name}.jsonl.gz", "wt") as stream:
            stream.write("\n".join(json.dumps(row) for row in rows))
    hh = helpful_pairs(tmp_path / "hh.jsonl.gz", seed=0)
    assert (len(hh.train), len(hh.test), hh.test[0].ranks) == (2, 1, [1, 2])
    oasst = assistant_rankings(tmp_path / "oasst.jsonl.gz", seed=0)
    assert oasst.test[0].ranks == [2, 1]
    assert not {one.group for one in oasst.train} & {one.group for one in oasst.test}


def test_a_curve_is_measured_once(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        *("sample_efficiency", "--work", str(work), "--methods", NUMBERS, "--sizes", "10", "60"),
        *("--seeds", "0", "1", "--preferences", "shorter", "--plot", str(work / "plot.svg")),
    ]
    monkeypatch.setattr("sys.argv", arguments)
    sample_efficiency.main()
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("| shorter"))
    # With 60 rankings of what is a plain number, nearly everything is right.
    assert float(row.split("|")[4].split()[0]) > 0.9
    assert ElementTree.parse(work / "plot.svg").getroot().tag.endswith("svg")
    results = (work / sample_efficiency.RESULTS).read_text()
    assert len(results.splitlines()) == 4
    monkeypatch.setattr(sample_efficiency, "measure", None)
    sample_efficiency.main()
    assert (work / sample_efficiency.RESULTS).read_text() == results


def test_a_cell_is_of_all_its_seeds_and_says_where_some_are_missing() -> None:
    def row(size: int, seed: int, accuracy: float) -> dict[str, object]:
        said = {"dataset": "shorter", "method": NUMBERS, "size": size, "seed": seed}
        rankings = (61, 63, 62)[seed]
        return said | {"accuracy": accuracy, "fit_seconds": 1.0, "rankings": rankings}

    rows = [row(25, 0, 0.5), row(25, 1, 0.7), row(25, 2, 0.6), row(50, 0, 0.8)]
    # The last size differs by seed where a seed's noise made a ranking all ties.
    rows += [row(61, 0, 0.7), row(63, 1, 0.9), row(62, 2, 0.8)]
    cells = [cell.strip() for cell in sample_efficiency.table(rows).splitlines()[2].split("|")]
    assert cells[3:6] == ["0.60 ± 0.10", "0.80 ± 0.00 [1 seeds]", "0.80 ± 0.10 (61–63)"]


def test_a_method_that_is_not_known_is_named(work: Path) -> None:
    workshop = sample_efficiency.Workshop(work, "nowhere")
    with pytest.raises(SystemExit, match="no method magic; use feature"):
        workshop.method("magic")


def test_a_head_on_frozen_states_reads_a_text_once(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_tiny_model(tmp_path / "tiny", layers=16)
    workshop = sample_efficiency.Workshop(work, str(model))
    data = simulated(work, "shorter", seed=0)
    margins, _ = workshop.method("head, mean last")(data.train[:12], data.test[:4], 0)
    assert [len(one) for one in margins] == [len(one.ranks) * 3 // 2 for one in data.test[:4]]
    again = sample_efficiency.Workshop(work, str(model))
    monkeypatch.setattr(again, "_pooled", None)
    assert again.method("head, mean last")(data.train[:12], data.test[:4], 0)[0] == margins
    other, _ = again.method("head, last middle")(data.train[:12], data.test[:4], 0)
    assert other != margins


def test_a_plot_has_a_panel_a_data_set_and_a_line_a_method(tmp_path: Path) -> None:
    draw({"a": {"x": {25: 0.5, 50: 0.6}}, "b": {"x": {25: 0.5}, "y <": {50: 1.2}}}, tmp_path / "p")
    text = (tmp_path / "p").read_text()
    assert text.count("<polyline") == 3
    assert "y &lt;" in text
    ElementTree.fromstring(text)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_completions_go_on_where_they_were_cut(tmp_path: Path) -> None:
    model = str(make_tiny_model(tmp_path / "tiny"))
    whole = generate(tmp_path / "work", model, 1).read_text()
    file = tmp_path / "work" / FILE
    lines = whole.splitlines(keepends=True)
    file.write_text("".join(lines[: CHUNK + 5]) + lines[CHUNK + 5][:20])
    assert generate(tmp_path / "work", model, 1).read_text() == whole
    # As many as are asked for, in whole chunks, are the first of them.
    some = generate(tmp_path / "some", model, 1, limit=CHUNK + 1).read_text()
    assert some == "".join(lines[: 2 * CHUNK])
