"""The README keeps its word: its code blocks marked ``<!-- run -->`` are executed, in order, in one scratch folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BLOCK = re.compile(r"^<!-- run -->\n```(bash|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BIN = Path(sys.executable).parent

# `make test` would run this test again; `make demo` runs its recipe in the quick form, in the environment of the tests.
MAKE = """
set -euo pipefail
make() {{
  [ "$1" = test ] || command make -C "{root}" -o .venv/.installed BIN="{bin}" OUT="$PWD/cscl-demo" QUICK=1 "$@"
}}
"""


def blocks(text: str) -> list[tuple[str, str, int]]:
    """(language, code, line of the fence) of every marked block."""
    return [(m[1], m[2], text.count("\n", 0, m.start()) + 2) for m in BLOCK.finditer(text)]


def test_every_mark_is_understood(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    assert len(blocks(text)) == text.count("<!-- run") > 1


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash") or not shutil.which("make"), reason="bash or make is missing")
@pytest.mark.skipif(not (BIN / "cscl").exists(), reason="the project is not installed: run `make test`")
def test_marked_blocks_run(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "sample_data", tmp_path / "sample_data")
    hidden = ("MAKE", "MFLAGS", "DISPLAY", "WAYLAND_DISPLAY")
    env = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    env["PATH"] = f"{BIN}{os.pathsep}{env['PATH']}"
    for language, code, line in blocks((root / "README.md").read_text(encoding="utf-8")):
        shell = ["bash", "-c", MAKE.format(root=root, bin=BIN) + code]
        command = shell if language == "bash" else [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"README.md, line {line}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
