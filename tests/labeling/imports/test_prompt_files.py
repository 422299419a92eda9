import gzip
import json
import os
from pathlib import Path

import pandas as pd
import pytest

from labeling.imports.prompt_files import read_prompts
from labeling.imports.row_files import valid_language
from storage.errors import BadInput

GOOD = '{"prompt": "Why?", "source": "mine", "license": "MIT"}\n'


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_jsonl_holds_text_or_messages(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "你好"},
    ]
    lines = GOOD + "\n" + json.dumps({"messages": messages}) + "\n"
    lines += json.dumps({"prompt": messages, "other": 1})
    first, second, third = read_prompts(write(tmp_path, "a.jsonl", "\ufeff" + lines))
    assert first.messages == [{"role": "user", "content": "Why?"}]
    assert (first.source, first.license) == ("mine", "MIT")
    assert second.messages == third.messages == messages


def test_gzip_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl.gz", gzip.compress(GOOD.encode()))
    assert len(read_prompts(path)) == 1


def test_csv_holds_line_breaks_quotes_and_messages_as_json(tmp_path: Path) -> None:
    messages = '"[{""role"": ""user"", ""content"": ""Hi""}]"'
    path = write(tmp_path, "a.CSV", f'prompt,messages\r\n"One,\ntwo ""q""",\r\n,{messages}\r\n')
    first, second = read_prompts(path)
    assert first.messages[0]["content"] == 'One,\ntwo "q"'
    assert second.messages == [{"role": "user", "content": "Hi"}]


def test_parquet_holds_text_or_messages(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    pd.DataFrame({"prompt": ["Why?", None], "messages": [None, messages]}).to_parquet(
        tmp_path / "a.parquet"
    )
    first, second = read_prompts(tmp_path / "a.parquet")
    assert first.messages == [{"role": "user", "content": "Why?"}]
    assert second.messages == messages


BAD_LINES = [
    ("{bad", "line 2", "no valid JSON"),
    ('{"prompt"', "line 2", r"no valid JSON \(Expecting ':' delimiter at column 10\)"),
    ("[1]", "line 2", "JSON object"),
    ("{}", "field prompt", "missing"),
    ('{"prompt": null}', "field prompt", "missing"),
    ('{"prompt": ""}', "field prompt", "empty"),
    ('{"prompt": " \\n "}', "field prompt", "empty"),
    ('{"prompt": 5}', "field prompt", "text or a list of messages, not int"),
    ('{"messages": "hi"}', "field messages", "a list of messages, not str"),
    ('{"messages": []}', "field messages", "list of messages is empty"),
    ('{"messages": ["hi"]}', r"field messages\[0\]", "role and content"),
    ('{"prompt": [{"role": "bot", "content": "x"}]}', r"prompt\[0\].role", "'bot' is no role"),
    ('{"prompt": [{"content": "x"}]}', r"prompt\[0\].role", "None is no role"),
    ('{"prompt": [{"role": "user"}]}', r"prompt\[0\].content", "must be text"),
    ('{"prompt": [{"role": "user", "content": " "}]}', r"prompt\[0\].content", "empty"),
    (
        '{"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}',
        r"prompt\[1\].role",
        "last message must be the user's",
    ),
    (
        '{"prompt": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]}',
        r"prompt\[1\].role",
        "only be the first",
    ),
    ('{"prompt": "x", "source": 3}', "field source", "must be text, not int"),
    ('{"prompt": "x", "license": ["MIT"]}', "field license", "must be text, not list"),
    ('{"prompt": "a\\u0000b"}', "field prompt", "NUL"),
    ('{"prompt": "a\\ud800b"}', "field prompt", "surrogate"),
    ('{"prompt": "x", "language": "\\u001b"}', "field language", "a tag of a language"),
    ('{"prompt": "x", "language": "zz-<x>"}', "field language", "a tag of a language"),
    ('{"prompt": "x", "language": "-en"}', "field language", "a tag of a language"),
    ('{"prompt": "x", "tags": ["a\\u0000"]}', "field tags", "NUL"),
]


@pytest.mark.parametrize(("line", "where", "what"), BAD_LINES)
def test_a_bad_line_is_named(tmp_path: Path, line: str, where: str, what: str) -> None:
    path = write(tmp_path, "mine.jsonl", GOOD + line + "\n" + GOOD)
    with pytest.raises(BadInput, match=rf"mine\.jsonl, line 2.*{what}.*Nothing was imp") as caught:
        read_prompts(path)
    assert caught.match(where)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_text_that_is_not_utf_8_is_named(tmp_path: Path, name: str) -> None:
    first = GOOD if name == "a.jsonl" else "prompt\n"
    path = write(tmp_path, name, first.encode() + '{"prompt": "caf\xe9"}\n'.encode("latin-1"))
    with pytest.raises(BadInput, match="line 2: the text is not UTF-8"):
        read_prompts(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("text\nhello\n", "line 1, field prompt: the header has no column prompt"),
        ("prompt,source\nhello\n", "line 2: the row does not have the header's 2 columns"),
        ("prompt\nhello,world\n", "line 2: the row does not have the header's 1 columns"),
        ('prompt\n"hello\n\n\n', "line 2: this is no valid CSV"),
        ("prompt\nhello\n  \n", "line 3, field prompt: the text is empty"),
        ("messages\nnot json\n", "line 2, field messages: this is no valid JSON"),
    ],
)
def test_a_bad_csv_is_named(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read_prompts(write(tmp_path, "a.csv", content))


def test_a_bad_parquet_row_is_named(tmp_path: Path) -> None:
    pd.DataFrame({"prompt": ["a", "b", ""]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(BadInput, match=r"a\.parquet, row 3, field prompt: the text is empty"):
        read_prompts(tmp_path / "a.parquet")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no such file"):
        read_prompts(tmp_path / "none.jsonl")
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(BadInput, match="no file but a folder, a pipe or a device; write the rows"):
        read_prompts(tmp_path / "pipe.jsonl")
    with pytest.raises(BadInput, match="item 2: an item must be a JSON object"):
        read_prompts(write(tmp_path, "a.json", '[{"prompt": "a"}, 3]'))
    with pytest.raises(BadInput, match="kind of file is unknown"):
        read_prompts(write(tmp_path, "a.txt", GOOD))
    with pytest.raises(BadInput, match=r"a\.parquet, row 1: this cannot be read"):
        read_prompts(write(tmp_path, "a.parquet", "no parquet"))
    with pytest.raises(BadInput, match="cannot be read"):
        read_prompts(write(tmp_path, "a.jsonl.gz", "no gzip"))
    cut = gzip.compress(GOOD.encode() * 1000)[:-20]
    with pytest.raises(BadInput, match="cut short"):
        read_prompts(write(tmp_path, "b.jsonl.gz", cut))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "b.csv", "a.parquet"])
def test_a_file_without_prompts_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, "prompt\n" if name == "b.csv" else "")
    if name == "a.parquet":
        pd.DataFrame({"prompt": pd.Series([], dtype=str)}).to_parquet(path)
    with pytest.raises(BadInput, match="holds no prompts"):
        read_prompts(path)


LANGUAGES = [
    "", "en", "zh-Hans", "pt_BR", "de-CH-1996", "es-419", "x-klingon", "sr-Latn-RS", "English",
    "Scots Gaelic", "Chinese (Simplified)", "en, fr", "en/de", "N'Ko", "\u4e2d\u6587",
    "\u0939\u093f\u0928\u094d\u0926\u0940",
]  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_languages_are_taken_as_data_sets_call_them(tmp_path: Path, language: str) -> None:
    row = json.dumps({"prompt": "x", "language": f" {language} "})
    (found,) = read_prompts(write(tmp_path, "mine.jsonl", row + "\n"))
    assert found.language == valid_language(language) == language
