"""The positive control of find_secrets.py: put a canary where a key could hide, hold it there until standard input closes.

First line of standard input: the canary. It goes into a file, into a child's environment, and, as base64, into this process's
memory. Prints `planted` when it is there.
"""

import base64
import os
import subprocess
import sys
import tempfile

canary = sys.stdin.readline().strip()
encoded = base64.b64encode(canary.encode())
with tempfile.NamedTemporaryFile("w", prefix="canary-", dir=os.environ["HOME"]) as file:
    file.write(f"some text before it {canary} and after it\n")
    file.flush()
    child = subprocess.Popen(["sleep", "300"], env={"CANARY": canary})
    print("planted", flush=True)
    try:
        sys.stdin.read()
    finally:
        child.kill()
        child.wait()
assert encoded
