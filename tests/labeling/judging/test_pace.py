import pytest

from labeling.judging.pace import count_words, pace_marks
from labeling.labeling_sections import PaceSettings
from labeling.labeling_settings import LabelingSettings

SETTINGS = LabelingSettings(pace=PaceSettings(fastest_reading=600, shortest=1500))


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["one two  three\nfour", "five"], 5),
        (["你好世界"], 4),
        (["用 Python 写代码"], 5),
        (["éclair à la crème"], 4),
        (["ひらがなカタカナ 한글"], 10),
        (["", "  "], 0),
    ],
)
def test_words_are_counted_and_cjk_characters_are_words(texts: list[str], words: int) -> None:
    assert count_words(texts) == words


@pytest.mark.parametrize(
    ("words", "milliseconds", "marks"),
    [
        (100, 9_999, ["fast"]),
        (100, 10_000, []),
        (1, 1_499, ["fast"]),
        (1, 1_500, []),
    ],
)
def test_faster_than_the_bound_is_marked(words: int, milliseconds: int, marks: list[str]) -> None:
    assert pace_marks(SETTINGS, words=words, milliseconds=milliseconds) == marks
