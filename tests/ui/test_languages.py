"""The interface's languages: every file says everything, and everything said has a text."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from labeling.judging.criteria import READY_SETS
from labeling.labeling_sections import Criterion, PageSettings, QualificationSettings
from labeling.quality_control.qualification import told_of
from labeling.work_queue import mixture
from labeling.work_queue.tasks import ANSWERS_ALIKE, NO_PROMPT_FITS
from storage.tables import Judgment, KnownAnswer, Qualification
from tests.ui.conftest import ROOT
from ui.languages import DEFAULT, FOLDER, base_of, languages, words_for
from ui.languages.criteria_words import shown_criteria
from ui.languages.sentences import PREFIXES, translated
from ui.languages.worker_words import doing_in_words

# Keys that are put together elsewhere than where they are said: of the criteria of a ready set, of
# what other rooms say, and of the language itself.
ALSO_SAID = ("criterion.", "language.", *PREFIXES)
PLACES = re.compile(r"\{(\w+)\}")
SAID_IN_JS = re.compile(r"\b(?:say\(\s*[\w.]+,|words\[)\s*([^)\]]*)")
SAID_IN_PYTHON = re.compile(r"\.say\(\s*(f?\"[^\"]+\")")
LITERAL = re.compile(r"[\"`]([a-z_]+(?:\.[^\"`]*)?)[\"`]")


def texts(code: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((FOLDER / f"{code}.json").read_text(encoding="utf-8"))
    return found


ENGLISH = texts(DEFAULT)
OTHERS = [code for code in languages() if code != DEFAULT]


def sources(suffix: str) -> Iterator[Path]:
    return (path for path in (ROOT / "ui").rglob(f"*.{suffix}"))


@cache
def written(suffix: str) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sources(suffix))


@pytest.mark.parametrize("code", OTHERS)
def test_every_language_says_the_same_things(code: str) -> None:
    assert {base_of(key) for key in texts(code)} == {base_of(key) for key in ENGLISH}


@pytest.mark.parametrize("code", languages())
def test_a_plural_has_a_form_for_all_else(code: str) -> None:
    forms = {key for key in texts(code) if "#" in key}
    assert {base_of(key) for key in forms} == {
        base_of(key) for key in forms if key.endswith("#other")
    }
    assert not {base_of(key) for key in forms} & set(texts(code))


@pytest.mark.parametrize("code", OTHERS)
def test_every_language_fills_the_same_places(code: str) -> None:
    def places(all_texts: dict[str, str]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for key, text in all_texts.items():
            found.setdefault(base_of(key), set()).update(PLACES.findall(text))
        return found

    english = places(ENGLISH)
    for key, own in places(texts(code)).items():
        # An English word that another room put in, like "skipped", has no place in Chinese.
        assert own <= english[key] if key.startswith(PREFIXES) else own == english[key], key


@pytest.mark.parametrize("code", languages())
def test_no_text_is_empty_or_html(code: str) -> None:
    for key, text in texts(code).items():
        assert text.strip() == text != "", key
        assert not re.search(r"<\w", text), key


@cache
def said_keys() -> set[str]:
    """Return every key, or beginning of one, that the pages and the component ask for."""
    found: set[str] = set()
    for asked in SAID_IN_JS.findall(written("js")):
        found |= set(LITERAL.findall(asked))
    found |= {text.lstrip("f").strip('"') for text in SAID_IN_PYTHON.findall(written("py"))}
    return found


def beginning_of(asked: str) -> str | None:
    """Return what stands before the first place of a key that is put together, else None."""
    for sign in ("${", "{"):
        if sign in asked:
            return asked.partition(sign)[0]
    return None


def test_everything_that_is_said_has_a_text() -> None:
    known = {base_of(key) for key in ENGLISH}
    for asked in said_keys():
        start = beginning_of(asked)
        if start is None:
            assert asked in known, f"{asked} is said, and en.json does not have it"
        else:
            assert any(key.startswith(start) for key in known), f"nothing begins with {start}"


def test_every_key_of_the_keyboard_has_its_words_in_the_help() -> None:
    keys = (ROOT / "ui/components/ranking/keys.js").read_text(encoding="utf-8")
    named = re.findall(r"\{ name: \"(\w+)\", shown:", keys)
    assert len(named) > 15
    assert [name for name in named if f"help.{name}" not in ENGLISH] == []


def test_nothing_is_left_that_nobody_says() -> None:
    everything = written("js") + written("py") + written("html")
    starts = {start for asked in said_keys() if (start := beginning_of(asked))}
    unused = [
        key
        for key in {base_of(key) for key in ENGLISH}
        if not re.search(rf"[\"'`]{re.escape(key)}[\"'`]", everything)
        and not key.startswith((*ALSO_SAID, *starts))
    ]
    assert sorted(unused) == []


#: Modules that draw what annotators see, and nothing of leads' pages.
ANNOTATORS_PAGES = (
    *("views/rank.py", "views/history.py", "views/own_prompts.py", "views/waiting.py"),
    *("views/account.py", "views/no_business.py", "ranking/desk.py", "ranking/sitting.py"),
    *("ranking/deeds.py", "ranking/correction.py", "judgment_cards.py", "charts/figure_table.py"),
    *("people/password_form.py", "people/privacy_panel.py", "people/sign_in_list.py"),
    *("people/token_list.py", "people/said.py", "language_choice.py", "session.py"),
)
#: Words for leads alone, in a module that draws for both.
FOR_LEADS = {"CSV", "Choose a row to see the judgments behind it."}
DRAWN = {
    *("title", "header", "subheader", "text", "markdown", "caption", "info", "success", "warning"),
    *("error", "toast", "button", "download_button", "form_submit_button", "link_button"),
    *("checkbox", "selectbox", "multiselect", "radio", "toggle", "text_input", "text_area"),
    *("number_input", "expander", "popover", "tabs", "metric", "page_link", "segmented_control"),
}
EXPLAINED = {"help", "label", "placeholder", "text", "body"}


def drawn_literals(file: str) -> set[str]:
    """Return the texts with letters that a module hands to Streamlit as they stand there."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / "ui" / file).read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr in DRAWN:
            given = [
                *node.args[:1],
                *(each.value for each in node.keywords if each.arg in EXPLAINED),
            ]
            found |= {
                one for each in given for one in _literals(each) if re.search(r"[^\W\d_]{2}", one)
            }
    return found


def _literals(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr | ast.List | ast.Tuple):
        for each in node.values if isinstance(node, ast.JoinedStr) else node.elts:
            yield from _literals(each)
    elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "plain":
        yield from _literals(node.args[0])


@pytest.mark.parametrize("file", ANNOTATORS_PAGES)
def test_no_page_of_annotators_holds_words_of_its_own(file: str) -> None:
    assert drawn_literals(file) <= FOR_LEADS


def test_words_of_its_own_would_be_found() -> None:
    assert {"Position bias", "Annotators"} <= drawn_literals("quality/annotator_tables.py")
    assert drawn_literals("charts/figure_table.py") == FOR_LEADS


# ---- which language -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "chosen", "code"),
    [
        (None, None, "en"),
        ("", None, "en"),
        ("zh", None, "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", None, "zh"),
        ("ZH-hant-TW", None, "zh"),
        ("fr;q=1.0, en;q=0.2, zh;q=0.7", None, "zh"),
        ("en-GB, zh;q=0.5", None, "en"),
        ("zh;q=0, en;q=0.1", None, "en"),
        ("fr, de", None, "en"),
        ("*", None, "en"),
        ("zh;q=nonsense", None, "zh"),
        ("../../etc, \x00", None, "en"),
        ("en", "zh", "zh"),
        ("zh", "en", "en"),
        ("zh", "xx", "zh"),
        ("en", "../zh", "en"),
    ],
)
def test_a_choice_comes_first_then_the_browser(
    accepted: str | None, chosen: str | None, code: str
) -> None:
    words = words_for(accepted, chosen)
    assert words.language == words.texts["language"] == code
    assert words.direction == "ltr"


def test_values_and_forms() -> None:
    english, chinese = words_for(None, "en"), words_for(None, "zh")
    assert english.say("counts", today=3, total=7) == "3 today · 7 in all"
    assert (
        english.say("news.learned", count=1) == "The model has learned from one of your judgments."
    )
    assert english.say("news.learned", count=2) == "The model has learned from 2 of your judgments."
    assert chinese.say("news.learned", count=1) == "模型已经从您的 1 条评判中学习。"
    assert english.say("counts", today="{total}", total=7) == "{total} today · 7 in all"
    assert english.say("no such key") == "no such key"


def test_languages_name_themselves() -> None:
    assert list(languages().items())[:2] == [("en", "English"), ("zh", "中文")]


# ---- criteria and flags -------------------------------------------------------------------------


def test_a_ready_set_is_said_in_every_language() -> None:
    for criterion in {each for ready in READY_SETS.values() for each in ready}:
        key = f"criterion.{criterion.name}"
        assert ENGLISH[f"{key}.question"] == criterion.question
        assert ENGLISH[key].lower() == criterion.name.lower()
    for flag in PageSettings().flags:
        assert ENGLISH[f"flag.{flag}"] == flag


def test_a_question_of_a_lead_is_said_as_it_was_written() -> None:
    own = Criterion(name="helpful", question="Helps our customers?")
    theirs = Criterion(name="polite", kind="check", question="Polite?")
    shown = shown_criteria((own, theirs), words_for(None, "zh"))
    assert [(each["name"], each["title"], each["question"]) for each in shown] == [
        ("helpful", "有帮助", "Helps our customers?"),
        ("polite", "polite", "Polite?"),
    ]


# ---- what other rooms say -----------------------------------------------------------------------


@cache
def sentences() -> set[str]:
    """Return every text in the code of `labeling`, with {} where a value is put in."""
    found: set[str] = set()
    for path in (ROOT / "labeling").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                found.add("".join(_part(each) for each in node.values))
    return found


def _part(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else "{}"


@pytest.mark.parametrize("key", [key for key in ENGLISH if key.startswith("error.")])
def test_every_translated_error_is_one_that_is_said(key: str) -> None:
    assert PLACES.sub("{}", ENGLISH[key]) in sentences()


@pytest.mark.parametrize(
    ("ranks", "key"),
    [([1, 2, 3], "feedback.pairs"), ([1, 2], "feedback.agreed"), ([2, 1], "feedback.other")],
)
def test_feedback_is_in_the_annotators_language(ranks: list[int], key: str) -> None:
    known = KnownAnswer(ranks=sorted(ranks), explanation="Lyon is no capital.")
    said = mixture._feedback(Judgment(ranks=ranks), known)
    chinese = words_for(None, "zh").say(key, correct="3", pairs="3")
    assert translated(said, words_for(None, "zh")) == f"{chinese} Lyon is no capital."
    assert translated(said, words_for(None, "en")) == said


@pytest.mark.parametrize(
    ("attempt", "key"),
    [
        (Qualification(attempt=1, passed=True, correct=3, pairs=4), "feedback.qualified"),
        (Qualification(attempt=1, passed=False, correct=1, pairs=4), "feedback.try_again"),
        (Qualification(attempt=2, passed=False, correct=1, pairs=4), "feedback.ask_lead"),
    ],
)
def test_a_qualification_is_told_in_the_annotators_language(
    attempt: Qualification, key: str
) -> None:
    settings = QualificationSettings(pass_mark=0.5, attempts=2)
    said = told_of(attempt, settings)
    chinese = words_for(None, "zh").say(key, share="75%" if attempt.passed else "25%", mark="50%")
    assert translated(said, words_for(None, "zh")) == chinese
    assert translated(said, words_for(None, "en")) == said


# ---- what the worker does -----------------------------------------------------------------------


def phrases_of_workers() -> set[str]:
    """Return every phrase that `reward` leaves in a worker's lease, each value in it a 7."""
    found: set[str] = set()
    for path in (ROOT / "reward").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            given = [each.value for each in node.keywords if each.arg == "doing"]
            if getattr(node.func, "attr", "") in ("working", "_report") and len(node.args) == 1:
                given += node.args
            for each in given:
                value = named.get(each.id, each) if isinstance(each, ast.Name) else each
                found |= {text.replace("{}", "7") for text in _phrases(value)}
    return found


def _phrases(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.BoolOp):
        for each in node.values:
            yield from _phrases(each)
    elif isinstance(node, ast.Constant | ast.JoinedStr):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        if isinstance(node, ast.Constant) and node.value is None:
            return  # what was said last stays
        yield "".join(_part(each) for each in parts)


def test_what_the_worker_does_is_said_in_every_language() -> None:
    found = phrases_of_workers() | {NO_PROMPT_FITS, ANSWERS_ALIKE}
    assert {"starting", "filling the task pool, 7/7", "7 judges tasks ahead of people"} <= found
    assert len(found) > 8
    for phrase in found - {"7: 7", "7 7/7", "77"}:
        assert re.search(r"[\u4e00-\u9fff]", doing_in_words(phrase, words_for(None, "zh"))), phrase


@pytest.mark.parametrize(
    ("doing", "said"),
    [
        ("round 3: ppo", "第 3 轮：训练策略"),
        ("round 3: ppo 4/20", "第 3 轮：训练策略，4 / 20"),
        ("round 3: evaluate: reading the held-out text", "第 3 轮：评估 · 正在读取留出文本"),
        (
            "round 3: evaluate: running mmlu on the live policy",
            "第 3 轮：评估 · 正在运行测试任务 mmlu",
        ),
        (
            "round 3: evaluate: running mmlu on the live policy, 40/57",
            "第 3 轮：评估 · 正在运行测试任务 mmlu，40 / 57",
        ),
        ("filling the task pool, 3/9", "正在补充任务，3 / 9"),
        ("cannot go on: No room.", "无法继续：No room."),
        ("something new", "something new"),
        ("", ""),
    ],
)
def test_the_worker_in_chinese(doing: str, said: str) -> None:
    assert doing_in_words(doing, words_for(None, "zh")) == said


def test_other_sentences_stay_as_they_are() -> None:
    assert translated("Nobody translated this.", words_for(None, "zh")) == "Nobody translated this."
    over = "The draft has 210000 bytes, but 200000 are the most, so it is not kept; "
    said = translated(f"{over}shorten it, or submit.", words_for(None, "zh"))
    assert "210000" in said
    assert "草稿" in said


def test_the_component_says_the_same_words(request: pytest.FixtureRequest) -> None:
    browser = request.getfixturevalue("browser")
    page = browser.new_page()
    page.add_script_tag(
        content=(ROOT / "ui/components/ranking/words.js").read_text(encoding="utf-8")
    )
    say = "([words, key, values]) => say(words, key, values)"
    for code in languages():
        words = words_for(None, code)
        for count in (0, 1, 2, 11):
            said = page.evaluate(say, [words.texts, "news.learned", {"count": count}])
            assert said == words.say("news.learned", count=count)
    assert page.evaluate(say, [{"a": "{b} {c}"}, "a", {"b": "{c}"}]) == "{c} {c}"
    page.close()
