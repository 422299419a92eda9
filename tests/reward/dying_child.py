"""The worker's real child, except that at one instant it kills its parent and itself with -9.

Arguments: the step's name, the instant, then those of `reward.work`. The instants:
`after`, the worst one: the step's work is done, its artefacts are written, nothing is committed;
`midway`, at the first point of its curves; `writing`, when a checkpoint's first file is written.
"""

import os
import signal
import sys
from dataclasses import replace

from reward.running.parent_watch import exit_when_parent_dies


def die(*told, **named):  # type: ignore[no-untyped-def]
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    exit_when_parent_dies()
    step_name, instant = sys.argv.pop(1), sys.argv.pop(1)

    from reward.language_models.backbone import Backbone
    from reward.running import loop, work
    from storage.tables import RoundState

    real = loop.STEPS[RoundState(step_name)]

    def deadly(context):  # type: ignore[no-untyped-def]
        if instant == "midway":
            real(replace(context, report=die))
        if instant == "writing":
            save = Backbone.save_adapter
            Backbone.save_adapter = lambda *given: (save(*given), die())  # type: ignore[assignment, method-assign]
            real(context)
        real(context)
        die()

    loop.STEPS[RoundState(step_name)] = deadly
    sys.exit(work.main())
