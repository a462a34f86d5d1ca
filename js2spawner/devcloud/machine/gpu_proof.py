"""Stands in for the proof that a GPU computes, in the pretended images: it only knows how the card is said to be.

Standard library only; copied into a machine with a GPU as /opt/js2/gpu-proof, where the guest program looks for it.
"""

import json
import sys
import time
from pathlib import Path

STATE = Path("/mnt/gpu/gpu.json")
# The environment is not for GPUs.
NO_GPU = 77

if __name__ == "__main__":
    if not STATE.exists():
        sys.exit(NO_GPU)
    card = json.loads(STATE.read_text())["card"]
    if card == "hangs":
        time.sleep(3600)
    if card != "sound":
        sys.exit("CUDA error: uncorrectable ECC error encountered")
