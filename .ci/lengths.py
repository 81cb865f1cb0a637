"""Rust files of at most 500 lines, examples of at most 150."""

import pathlib
import subprocess
import sys

files = subprocess.run(["git", "ls-files", "*.rs"], capture_output=True, text=True, check=True)
bad = []
for name in files.stdout.split():
    path = pathlib.Path(name)
    limit = 150 if path.parts[0] == "examples" and len(path.parts) == 2 else 500
    count = len(path.read_text(encoding="utf-8").splitlines())
    if count > limit:
        bad.append(f"{name}: {count} lines, at most {limit}")
print("\n".join(bad) or "all within their limits")
sys.exit(bool(bad))
