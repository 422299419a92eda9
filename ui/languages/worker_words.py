"""What the worker does, in the reader's language: it leaves an English phrase in its lease."""

import re

from labeling.work_queue.tasks import ANSWERS_ALIKE, NO_PROMPT_FITS
from ui.languages import Words

_STEPS = r"(?:,? (?P<done>\d+)/(?P<steps>\d+))?"
_ROUND = re.compile(rf"round (?P<number>\d+): (?P<state>\w+){_STEPS}(?:: (?P<within>.+))?", re.S)
_FILLING = re.compile(rf"filling the task pool{_STEPS}")
_AHEAD = re.compile(r"(?P<name>.+) judges tasks ahead of people")
_SAMPLING = re.compile(r"sampling .+ on (?P<prompts>\d+) (?:held-out )?prompts")
_TASK = re.compile(rf"running (?P<task>.+) on the \w+ policy{_STEPS}")
_CANNOT = re.compile(r"cannot go on: (?P<why>.+)", re.S)
_PHRASES = {
    "waiting for judgments": "rounds.doing.waiting",
    "waiting for launch_command to start the job": "rounds.doing.job",
    "freezing judgments and demonstrations": "rounds.doing.freezing",
    "reading the held-out text": "rounds.doing.reading",
    "starting": "rounds.doing.starting",
    "stopped": "rounds.doing.stopped",
    NO_PROMPT_FITS: "waiting.no_prompt",
    ANSWERS_ALIKE: "waiting.alike",
}


def doing_in_words(doing: str, words: Words) -> str:
    """Return what a worker says that it does in the language of `words`.

    What went wrong ("cannot go on: …"), and any phrase that is not known, stays as it is.
    """
    if doing in _PHRASES:
        return words.say(_PHRASES[doing])
    if found := _ROUND.fullmatch(doing):
        values = {**found.groupdict(), "state": words.say(f"rounds.state.{found['state']}")}
        stepped = found["steps"] is not None
        said = words.say("rounds.doing.round_step" if stepped else "rounds.doing.round", **values)
        within = found["within"]
        return f"{said} · {doing_in_words(within, words)}" if within else said
    if found := _FILLING.fullmatch(doing):
        stepped = found["steps"] is not None
        key = "rounds.doing.filling_step" if stepped else "rounds.doing.filling"
        return words.say(key, **found.groupdict())
    if found := _AHEAD.fullmatch(doing):
        return words.say("rounds.doing.ahead", **found.groupdict())
    if found := _SAMPLING.fullmatch(doing):
        return words.say("rounds.doing.sampling", **found.groupdict())
    if found := _TASK.fullmatch(doing):
        stepped = found["steps"] is not None
        key = "rounds.doing.task_step" if stepped else "rounds.doing.task"
        return words.say(key, **found.groupdict())
    if found := _CANNOT.fullmatch(doing):
        return words.say("rounds.doing.cannot", **found.groupdict())
    return doing
