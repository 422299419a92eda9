"""The worker's real child, except that at one instant it kills its parent and itself with -9.

The instant is the worst one of a step: its work is done, its artefacts are written, and nothing of
it is committed yet. Arguments: the step's name, then those of `reward.work`.
"""

import os
import signal
import sys

from reward.parent_watch import exit_when_parent_dies

if __name__ == "__main__":
    exit_when_parent_dies()
    step_name = sys.argv.pop(1)

    from reward import loop, work
    from storage.tables import RoundState

    real = loop.STEPS[RoundState(step_name)]

    def done_then_dead(context):  # type: ignore[no-untyped-def]
        real(context)
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    loop.STEPS[RoundState(step_name)] = done_then_dead  # type: ignore[index]
    sys.exit(work.main())
