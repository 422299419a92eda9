"""Ask a policy behind a server for completions of a file of prompts: `rankloop complete`."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from labeling.endpoint_policies import (
    Usage,
    endpoint_of,
    endpoint_policy,
    note_usage,
    usage_of,
)
from labeling.imports.prompt_files import NewPrompt, read_prompts
from labeling.keys import key_of
from labeling.projects import get_project
from reward.generation.conversations import with_system
from reward.generation.endpoint_client import EndpointAnswer, EndpointClient
from storage.engine import reading, writing
from storage.errors import Conflict, RankloopError, Unavailable
from storage.tables import Policy, Project


@dataclass(frozen=True)
class CompletionRun:
    """Say what is asked of whom, and where the answers go."""

    policy: str
    prompts: Path
    out: Path
    samples: int
    max_tokens: int
    temperature: float
    seed: int


@dataclass(frozen=True)
class CompletionsDone:
    """Count what was written, and what it cost."""

    written: int
    usage: Usage


def complete_file(
    engine: Engine,
    *,
    project_name: str,
    run: CompletionRun,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> CompletionsDone:
    """Write a row a completion (`prompt`, `completion`, `model`), in the order of the prompts.

    Raises `Conflict` where the file is there already, `Unavailable` where the server ends
    answering or the budget is spent: what was answered before is in the file, and counted.
    """
    if run.out.exists():
        raise Conflict(f"{run.out} is there already; name a new file.")
    prompts = read_prompts(run.prompts)
    with reading(engine) as session:
        project = get_project(session, name=project_name)
        policy = endpoint_policy(session, project_id=key_of(project), name=run.policy)
    client = EndpointClient(endpoint_of(policy), policy.name)
    written, used = 0, Usage()
    try:
        with run.out.open("w", encoding="utf-8", newline="\n") as file:
            for prompt, answer in _answers(client, project, policy, prompts, run):
                file.write(json.dumps(_row(prompt, answer, policy), ensure_ascii=False) + "\n")
                written, used = written + 1, used.plus(answer.usage)
                progress("Asking", written / (len(prompts) * run.samples))
    except RankloopError as error:
        raise Unavailable(f"{error} {written} completions are in {run.out}.") from error
    except OSError as error:
        raise Unavailable(f"{run.out} cannot be written ({error.strerror}).") from error
    finally:
        with writing(engine) as session:
            note_usage(session, policy_id=key_of(policy), usage=used)
    return CompletionsDone(written, used)


def _answers(
    client: EndpointClient,
    project: Project,
    policy: Policy,
    prompts: list[NewPrompt],
    run: CompletionRun,
) -> Iterator[tuple[NewPrompt, EndpointAnswer]]:
    """Yield the answers in order, a few requests ahead of what is written."""
    asked = [(prompt, sample) for prompt in prompts for sample in range(run.samples)]
    ahead = client.endpoint.requests_at_once
    spent, budget = usage_of(policy).cost, client.endpoint.budget
    with ThreadPoolExecutor(ahead) as pool:

        def ask(number: int) -> "Future[EndpointAnswer]":
            return pool.submit(
                client.answer,
                with_system(asked[number][0].messages, project.system_prompt),
                max_tokens=run.max_tokens,
                temperature=run.temperature,
                top_p=1.0,
                seed=(run.seed + number) % 2**31,
            )

        jobs = {number: ask(number) for number in range(min(ahead, len(asked)))}
        try:
            for number, (prompt, _) in enumerate(asked):
                answer = jobs.pop(number).result()
                spent += answer.usage.cost
                yield prompt, answer
                if budget is not None and spent >= budget and number + 1 < len(asked):
                    raise Unavailable(f"The budget of {policy.name} is spent.")
                if number + ahead < len(asked):
                    jobs[number + ahead] = ask(number + ahead)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _row(prompt: NewPrompt, answer: EndpointAnswer, policy: Policy) -> dict[str, Any]:
    return {
        "prompt": prompt.messages,
        "completion": answer.text,
        "model": policy.name,
        "finish_reason": answer.finish_reason,
        "source": prompt.source,
        "license": prompt.license,
        "tags": list(prompt.tags),
        "language": prompt.language,
    }
