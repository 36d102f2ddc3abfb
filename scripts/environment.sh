# Sourced by scripts/run and scripts/test: one virtual environment, installed again only when its lists change.

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "$@"
  exit 1
}

# Print the first Python on the PATH that is new enough.
find_python() {
  local name
  for name in python3 python3.13 python3.12 python3.11 python3.14 python; do
    if command -v "$name" >/dev/null 2>&1 &&
      "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      command -v "$name"
      return
    fi
  done
  fail "PoseStudio needs Python 3.11 or newer, and none was found on the PATH." \
    "Install it (python.org, or: apt-get install python3 python3-venv) and run this again."
}

# A fingerprint of the files given.
fingerprint() {
  .venv/bin/python - "$@" <<'PYTHON'
import hashlib, pathlib, sys

parts = [sys.version, *(pathlib.Path(name).read_text() for name in sys.argv[1:])]
print(hashlib.sha256("\0".join(parts).encode()).hexdigest())
PYTHON
}

# Make .venv when it is missing or does not start.
make_venv() {
  if [ -x .venv/bin/python ] && .venv/bin/python -c 'import pip' >/dev/null 2>&1; then
    return
  fi
  local python
  python=$(find_python)
  say "Making the environment .venv with $("$python" --version) ..."
  "$python" -m venv --clear .venv ||
    fail "Python could not make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv"
}

# install NAME LIST: bring .venv up to LIST and the project, unless the stamp says that this is done.
install() {
  local stamp=".venv/posestudio-$1.stamp" list=$2 now
  make_venv
  now=$(fingerprint requirements.txt "$list" pyproject.toml)
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ]; then
    return
  fi
  say "Installing the packages of $list (the first time this takes some minutes) ..."
  .venv/bin/python -m pip install -qq --disable-pip-version-check -r "$list" &&
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --editable . ||
    fail "Some packages could not be installed; pip's message is above." \
      "Check the network and the free disk space (about 6 GB), then run this again."
  printf '%s\n' "$now" >"$stamp"
}
