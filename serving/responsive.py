"""What keeps a process answering evenly while it loads models: how threads take turns, what is collected. Edge.

Measured with a classifier of 5,000 words: loading takes 0.22 s of Python; and one full garbage collection of a process
with mlflow, pandas and scikit-learn 0.2 to 0.8 s, in which nothing is answered.
"""

import gc
import sys

SWITCH_SECONDS = 0.0005
"""How long a thread that computes may let another one wait. An answer changes threads several times, and at Python's
own 5 ms each change could wait that long while a version is loaded."""


def take_short_turns() -> None:
    """Let threads take short turns, in the whole process."""
    sys.setswitchinterval(SWITCH_SECONDS)


def keep_out_of_collections() -> None:
    """Take all that is there now for lasting, so that no later collection looks at it.

    To be called once, when the first version answers: its modules last, and versions that come later are collected as
    usual. What of the first version lies in cycles stays in memory; the rest goes as its last user goes.
    """
    gc.collect()
    gc.freeze()
