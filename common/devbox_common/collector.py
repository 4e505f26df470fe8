"""The garbage collector in a process that runs for long and holds much.

Goes in: nothing. Comes out: nothing. For both programs, once what they need is imported and made.
"""

import gc


def settle() -> None:
    """What is there by now stays: the collector need not look at it again, nor often at what comes and goes.

    Reference counts free nearly everything here; what the collector is for are rare errors with their tracebacks. By itself it looks
    at the youngest after every 700 objects: a third of what the operator did with thousands of devboxes, and a tenth of what the gateway
    did (docs/results/lab/what-paid.md, operator-scale.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()
