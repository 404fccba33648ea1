"""All tables of docs/performance.md, one script after the other: `python tests/speed`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

for script in sorted(Path(__file__).parent.glob("[a-z]*.py")):
    print(f"\n## {script.name}", flush=True)
    subprocess.run([sys.executable, script], check=True)
