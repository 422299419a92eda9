"""A home in which everything that people, models and files write is hostile, and a page's guard."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Dialog, Frame, Page, Request
from sqlmodel import Session, select

from labeling.accounts import create_account
from labeling.imports.prompts import content_sha256
from labeling.judging.judgments import submit_judgment
from labeling.labeling_settings import change_labeling
from labeling.quality_control.guidelines import publish_guidelines
from labeling.work_queue.assignment import next_assignment
from labeling.work_queue.putting_aside import flag_assignment, skip_assignment
from labeling.work_queue.tasks import NewCompletion, add_task
from storage.clock import now
from storage.engine import writing
from storage.tables import (
    Account,
    Policy,
    Project,
    Prompt,
    Role,
    Round,
    RoundState,
    Split,
    Webhook,
    WebhookDelivery,
)
from storage.tables.events import Event
from tests.cheap_hashes import cheap_hash
from tests.hostile_texts import FORMULAS, HTML, MARKDOWN, MODELS, STORABLE, STREAMLIT
from tests.ui.conftest import PASSWORD, Home
from tests.ui.small_home import small_home

K = 9
TASKS = 3
_TEXTS = [one.text for one in STORABLE if len(one.text) < 4000]
#: Every text is in one completion of one of the tasks.
COMPLETIONS = ["\n\n".join(_TEXTS[at :: K * TASKS]) for at in range(K * TASKS)]
_SHORT = [one.text for one in (*HTML, *MARKDOWN, *STREAMLIT, *FORMULAS, *MODELS)]
#: What an account, a tag or a flag may be called.
NAMES = [text for text in _SHORT if text.isprintable() and text == text.strip() and len(text) < 100]
ALL = "\n\n".join(_SHORT)[:9000]
LEAD = "<img src=x onerror=window.hacked=1> ![x](http://attack.invalid/l.png) :red[x] $x$"


def hostile_home(folder: Path, template: Path) -> Home:
    """Return the home; `LEAD` is an admin, and judgments, rounds and webhooks are there."""
    home = small_home(folder, template)
    with writing(home.engine) as session:
        project = session.get_one(Project, home.project_id)
        project.overlap, project.name = 9, LEAD
        project.system_prompt = ALL
        policy = session.exec(select(Policy)).one()
        policy.name = LEAD
        for name, role in [(LEAD, Role.ADMIN), *((each, Role.ANNOTATOR) for each in NAMES[:8])]:
            account = create_account(session, name=name, role=role)
            account.password_hash = cheap_hash(PASSWORD)
        flags = tuple(NAMES[:3])
        change_labeling(
            session, project=project, by=None, section="page",
            values={"flags": flags, "criteria": [
                {"name": NAMES[1], "kind": "likert", "question": ALL[:900]}
            ]},
        )  # fmt: skip
        for number in range(TASKS):
            _task(session, project, policy, number)
        _rounds(session, home.project_id)
        _webhook(session, home.project_id)
    for name in NAMES[:3]:
        _judge(home, name, flags)
    return home


def _task(session: Session, project: Project, policy: Policy, number: int) -> None:
    messages = [{"role": "user", "content": f"{number} {ALL}"}]
    prompt = Prompt(
        project_id=project.id or 0, messages=messages, content_sha256=content_sha256(messages),
        split=Split.TRAIN, source=LEAD, license=LEAD, tags=NAMES[:6], language="<b>",
    )  # fmt: skip
    session.add(prompt)
    session.flush()
    add_task(
        session, project=project, prompt_id=prompt.id or 0, policy_id=policy.id or 0,
        completions=[
            NewCompletion(text, {"hint": ALL}, 0, "stop", 2)
            for text in COMPLETIONS[number * K : (number + 1) * K]
        ],
    )  # fmt: skip


def _judge(home: Home, name: str, flags: tuple[str, ...]) -> None:
    for number in range(TASKS):
        with writing(home.engine) as session:
            account = session.exec(select(Account).where(Account.name == name)).one()
            given: dict[str, Any] = {"annotator_id": account.id or 0}
            task = next_assignment(session, project_id=home.project_id, minutes=5, **given)
            assert task is not None
            given["assignment_id"] = task.assignment_id
            if number == 2 and name == NAMES[0]:
                flag_assignment(session, flags=flags, comment=ALL[:2000], **given)
            elif number == 2 and name == NAMES[1]:
                skip_assignment(session, reason=ALL[:500], **given)
            else:
                submit_judgment(
                    session, ranks=list(range(1, K + 1)), milliseconds=9000, flags=flags[:1],
                    nonce=f"{account.id}-{number}", rationale=ALL,
                    likert={NAMES[1]: [4] * K}, **given,
                )  # fmt: skip


def _rounds(session: Session, project_id: int) -> None:
    samples = [
        {"prompt": ALL, "candidate": one, "live": one, "candidate_reward": 1.0, "live_reward": 0.0}
        for one in COMPLETIONS[:5]
    ]
    gate = [
        {"name": LEAD, "meaning": f"{LEAD} {ALL[:500]}", "figure": 1.0, "bound": 0.5,
         "passed": False, "direction": "above"}
    ]  # fmt: skip
    comparison = {"against": LEAD, "judge": LEAD, "prompts": 4}
    metrics = {
        "samples": samples, "best_samples": samples[:1], "gate": gate,
        "comparisons": [{**comparison, "win_rate": 0.5, "low": 0.4, "high": 0.6}],
        "policies": [{"policy": LEAD, "tokens": 3.0}],
    }  # fmt: skip
    session.add(
        Round(
            project_id=project_id, number=1, state=RoundState.REJECTED, reason=ALL,
            metrics=metrics, started_at=now(), finished_at=now(),
        )
    )  # fmt: skip


def _webhook(session: Session, project_id: int) -> None:
    webhook = Webhook(
        project_id=project_id, url="https://example.org/[x](y)*<b>", kinds=["round.started"],
        secret_env="HOOK",
    )  # fmt: skip
    event = Event(project_id=project_id, kind="round.opened", detail={"said": ALL})
    session.add_all([webhook, event])
    session.flush()
    session.add(
        WebhookDelivery(
            webhook_id=webhook.id or 0, event_id=event.id or 0, kind="round.started",
            attempts=3, given_up_at=now(), last_status=500, last_error=ALL[:500],
        )
    )  # fmt: skip


def publish_hostile_guidelines(home: Home) -> None:
    """Put guidelines of hostile Markdown in force: leads write these, and they are Markdown."""
    with writing(home.engine) as session:
        project = session.get_one(Project, home.project_id)
        publish_guidelines(session, project=project, by=None, text=f"{ALL}\n\n{now()}", note=LEAD)


LINKS = tuple(f"{rule}: <a href=" for rule in ("[href*='attack']", "a[href^='data:' i]"))
# Nothing of Streamlit's own page or of ours has any of these.
INJECTED = """() => {
  const found = [];
  const wrong = [
    "iframe", "object", "embed", "base", "meta[http-equiv=refresh]", "math mtext",
    "img[src*='attack']", "img[src='x']", "[href*='attack']", "[src*='attack']",
    "[action*='attack']", "[srcset]", "[href^='javascript' i]", "a[href^='data:' i]",
    "[onerror]", "[onload]", "[onfocus]", "[ontoggle]", "[srcdoc]", "script:not([src])",
  ];
  const look = root => {
    for (const rule of wrong) {
      for (const one of root.querySelectorAll(rule)) found.push(rule + ": " + one.outerHTML);
    }
    for (const one of root.querySelectorAll("*")) if (one.shadowRoot) look(one.shadowRoot);
  };
  look(document);
  return found.filter(one => !/prerenderReady|window\\.stage = /.test(one));
}"""
# What Markdown or a directive makes of a text.
RENDERED = """() => {
  const found = [];
  const wrong = [".katex", "[class*=stMarkdownColored]"];
  const look = root => {
    for (const rule of wrong) {
      for (const one of root.querySelectorAll(rule)) found.push(rule + ": " + one.outerHTML);
    }
    for (const one of root.querySelectorAll("*")) if (one.shadowRoot) look(one.shadowRoot);
  };
  look(document);
  return found;
}"""


@dataclass
class Watch:
    """Everything about a page that must not be: `wrong` says what was seen."""

    page: Page
    origin: str
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin to look."""
        self.page.on("request", self._request)
        self.page.on("dialog", self._dialog)
        self.page.on("console", self._console)
        self.page.on("framenavigated", self._navigated)
        self.page.on("popup", lambda popup: self.wrong.append(f"popup {popup.url}"))

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:", "blob:")):
            self.wrong.append(f"request {request.url}")

    def _dialog(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        # A request that the policy stops is one that was tried.
        if "Content Security Policy" in message.text:
            self.wrong.append(message.text[:300])

    def _navigated(self, frame: Frame) -> None:
        if not frame.url.startswith((self.origin, "about:blank")):
            self.wrong.append(f"navigated to {frame.url}")

    def expect_nothing(self, *, markdown: bool = False) -> None:
        """Look at what is there now; `markdown` where a lead's Markdown is shown."""
        assert self.page.evaluate("window.hacked") is None, "a script ran"
        assert self.page.evaluate("({}).hacked") is None, "a prototype was changed"
        found = self.page.evaluate(INJECTED)
        if markdown:
            # A lead may link to elsewhere: it takes a click, and browsers open no data: address so.
            found = [one for one in found if not one.startswith(LINKS)]
        else:
            found += self.page.evaluate(RENDERED)
        assert found == [], f"{self.page.url}: {[one[:300] for one in found]}"
        assert self.wrong == [], f"{self.page.url}: {self.wrong}"
