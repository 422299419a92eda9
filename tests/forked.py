"""Processes forked from one that has imported what they need: each starts in milliseconds.

A spawned process imports for a second or two of processor time before a race can begin. The server
that forks is started once in a process of pytest, by whoever needs it first, so all that is to be
imported is named here. It keeps that moment's environment: what is forked is told what it needs.
"""

import multiprocessing
from multiprocessing.context import ForkServerContext

IMPORTED = [
    "tests.labeling.crashing_annotators",
    "tests.labeling.work_queue.test_assignment_concurrency",
    "tests.reward.running.test_lease",
    "tests.storage.test_engine",
]


def forked() -> ForkServerContext:
    """Return a context of `multiprocessing` whose processes have imported `IMPORTED`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context
