"""The README keeps its word: its code blocks marked ``<!-- run -->`` are executed, in order, in one scratch folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fresh import run_fresh

BLOCK = re.compile(r"^<!-- run -->\n```(bash|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BIN = Path(sys.executable).parent

# `make test` would run this test again; `make demo` runs its recipe in the quick form, in the environment of the tests.
# Other commands are written down as bash expands them: each word ends with a zero, each command with a line of its own.
SHELL = """
set -euo pipefail
make() {{
  [ "$1" = test ] || command make -C "{root}" -o .venv/.installed BIN="{bin}" OUT="$PWD/cscl-demo" QUICK=1 "$@"
}}
cscl() {{ printf '%s\\0' "$@" $'\\n' >>calls; }}
"""


def blocks(text: str) -> list[tuple[str, str, int]]:
    """(language, code, line of the fence) of every marked block."""
    return [(m[1], m[2], text.count("\n", 0, m.start()) + 2) for m in BLOCK.finditer(text)]


def test_every_mark_is_understood(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    assert len(blocks(text)) == text.count("<!-- run") > 1


def commands(folder: Path) -> list[list[str]]:
    """Words of the commands that a block of bash has just written down, in order."""
    record = folder / "calls"
    text = record.read_text(encoding="utf-8") if record.exists() else ""
    record.unlink(missing_ok=True)
    return [command.split("\0")[:-1] for command in text.split("\n\0")[:-1]]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash") or not shutil.which("make"), reason="bash or make is missing")
@pytest.mark.skipif(sys.platform == "win32", reason="processes are not forked there")
@pytest.mark.skipif(not (BIN / "cscl").exists(), reason="the project is not installed: run `make test`")
def test_marked_blocks_run(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "sample_data", tmp_path / "sample_data")
    hidden = ("MAKE", "MFLAGS", "DISPLAY", "WAYLAND_DISPLAY")
    env = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    env["PATH"] = f"{BIN}{os.pathsep}{env['PATH']}"
    for language, code, line in blocks((root / "README.md").read_text(encoding="utf-8")):
        asked: list[list[str] | Path] = [tmp_path / "block.py"]
        if language == "bash":
            shell = ["bash", "-c", SHELL.format(root=root, bin=BIN) + code]
            done = subprocess.run(shell, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, f"README.md, line {line}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            asked = [*commands(tmp_path)]
        else:
            (tmp_path / "block.py").write_text(code, encoding="utf-8")
        for one in asked:
            status, said = run_fresh(one, tmp_path)
            assert status == 0, f"README.md, line {line}, {one}:\n{said[-6000:]}"
