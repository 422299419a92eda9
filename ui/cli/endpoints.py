"""The commands about policies behind servers: adding one, switching it, asking it."""

import json
from pathlib import Path
from typing import Any

import click

from storage.plurals import counted, form
from ui.cli.frame import Command, Options, pass_options, project_of, shell_account, stepwise
from ui.cli.policies import policies

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)


@policies.command(
    "add",
    example="rankloop policies add --endpoint https://host/v1 --model big --key-env BIG_KEY "
    "--price-in 0.5 --price-out 1.5 --requests-per-minute 60",
)
@click.option("--endpoint", "url", required=True, metavar="URL", help="Base of the API: …/v1.")
@click.option("--model", required=True, metavar="NAME", help="The model's name on the server.")
@click.option("--name", default="", metavar="NAME", help="Name of the policy (default: MODEL).")
@click.option("--key-env", default="", metavar="VAR",
              help="Environment variable with the key, which is never stored.")  # fmt: skip
@click.option("--price-in", type=float, default=0.0, help="Price of a million prompt tokens.")
@click.option("--price-out", type=float, default=0.0, help="Price of a million answer tokens.")
@click.option("--budget", type=float, help="Money after which it is asked no more.")
@click.option("--requests-per-minute", type=float, help="Bound on requests (default: none).")
@click.option("--requests-at-once", type=int, default=8, show_default=True,
              help="Requests under way at once.")  # fmt: skip
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds a request.")
@click.option("--attempts", type=int, default=5, show_default=True,
              help="Attempts where the server is busy or fails.")  # fmt: skip
@click.option("--body", default="{}", metavar="JSON",
              help="Fields to add to requests, null to leave one out; no secrets.")  # fmt: skip
@pass_options
def add(options: Options, /, name: str, body: str, **values: Any) -> None:
    """Add a model behind an OpenAI-compatible server: vLLM, a hosted model, a RAG application.

    The loop asks it once `rankloop labeling set endpoints.share=0.25` gives it a share of each
    task's completions.
    """
    from labeling.endpoint_policies import add_endpoint_policy, checked_endpoint
    from storage.engine import writing
    from ui.database import open_database

    endpoint = checked_endpoint({**values, "body": _body(body)})
    settings = options.settings()
    with writing(open_database(settings)) as session:
        project = project_of(session, settings)
        assert project.id is not None
        policy = add_endpoint_policy(
            session,
            project_id=project.id,
            name=name or endpoint.model,
            endpoint=endpoint,
            by=shell_account(),
        )
    click.echo(f"The policy {policy.name} is added; it has no share yet (endpoints.share).")


def _body(text: str) -> Any:
    from storage.errors import BadInput

    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"--body is no valid JSON ({error}).") from error
    if not isinstance(found, dict):
        raise BadInput("--body must be a JSON object.")
    return found


@policies.command("switch", example="rankloop policies switch big off")
@click.argument("name")
@click.argument("state", type=click.Choice(["on", "off"]))
@pass_options
def switch(options: Options, name: str, state: str) -> None:
    """Let the loop ask the policy NAME behind a server, or not."""
    from labeling.endpoint_policies import switch_endpoint
    from storage.engine import writing
    from ui.database import open_database

    settings = options.settings()
    with writing(open_database(settings)) as session:
        project = project_of(session, settings)
        assert project.id is not None
        switch_endpoint(
            session, project_id=project.id, name=name, active=state == "on", by=shell_account()
        )
    click.echo(f"The policy {name} is switched {state}.")


@click.command(
    cls=Command,
    example="rankloop complete --policy big --prompts prompts.jsonl --out completions.jsonl",
)
@click.option("--policy", required=True, metavar="NAME", help="Policy behind a server.")
@click.option("--prompts", type=FILE, required=True, help="JSONL, CSV or Parquet of prompts.")
@click.option("--out", type=NEW_FILE, required=True, help="JSONL to write; must be new.")
@click.option("--samples", type=click.IntRange(1, 9), default=1, show_default=True,
              help="Completions of each prompt.")  # fmt: skip
@click.option("--max-tokens", type=click.IntRange(1), default=256, show_default=True,
              help="Tokens after which an answer is cut.")  # fmt: skip
@click.option("--temperature", type=click.FloatRange(0), default=1.0, show_default=True,
              help="Sampling temperature.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
@pass_options
def complete(
    options: Options, policy: str, prompts: Path, out: Path, samples: int, max_tokens: int,
    temperature: float, as_json: bool,
) -> None:  # fmt: skip
    """Ask a policy behind a server for completions, without the loop.

    OUT can be brought in by `rankloop import completions`. Where the server ends answering, what
    was answered stays in OUT.
    """
    from reward.generation.endpoint_file import CompletionRun, complete_file
    from ui.database import open_database

    settings = options.settings()
    done = complete_file(
        open_database(settings),
        project_name=settings.project,
        run=CompletionRun(policy, prompts, out, samples, max_tokens, temperature, settings.seed),
        progress=stepwise(),
    )
    if as_json:
        click.echo(json.dumps({"completions": done.written, **done.usage.model_dump()}, indent=2))
        return
    used = done.usage
    click.echo(
        f"{counted(done.written, 'completion')} {form(done.written, 'is', 'are')} in {out}: "
        f"{used.prompt_tokens:,} + {used.completion_tokens:,} tokens, cost {used.cost:.4f}."
    )
