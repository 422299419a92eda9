"""A worker that waits for a commanded job, to be killed: FOLDER and a guarded command as JSON."""

import json
import sys
from pathlib import Path

from reward.running.command_guard import GuardedCommand
from reward.running.commanded_job import CommandedJob, run_commanded

if __name__ == "__main__":
    run_commanded(
        CommandedJob(Path(sys.argv[1]), GuardedCommand(**json.loads(sys.argv[2])), 2.0, 60.0, 60.0),
        on_line=lambda line: None,
        on_waiting=lambda: None,
    )
