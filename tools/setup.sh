#!/bin/sh
# Prepares .venv: setup.sh run (what a node needs) or setup.sh dev (that and the test tools).
# Debian packages are installed only when something is missing and we are root; otherwise the one command to run is printed.
set -eu
cd "$(dirname "$0")/.."
kind=${1:?usage: setup.sh run|dev}
python=${PYTHON:-python3}
case $kind in
    run) lock=requirements.lock ;;
    dev) lock=requirements-dev.lock ;;
    *) echo "setup: '$kind' is neither run nor dev" >&2; exit 2 ;;
esac

command -v "$python" >/dev/null || { echo "setup: no '$python' here; install Python 3.11 or newer (Debian: apt install python3)" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "setup: $("$python" --version) is too old; Conclave needs Python 3.11 or newer (set PYTHON=...)" >&2; exit 1; }

# libp2p pins fastecdsa, which has no wheel: it wants a C compiler and the headers of Python and GMP.
missing=
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
command -v cc >/dev/null || missing="$missing build-essential"
[ -f "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] || missing="$missing python3-dev"
if command -v cc >/dev/null; then
    echo '#include <gmp.h>' | cc -E -x c - >/dev/null 2>&1 || missing="$missing libgmp-dev"
else
    missing="$missing libgmp-dev"
fi
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing Debian packages:$missing"
        apt-get update -qq
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
    else
        echo "setup: please run once as root, then try again:  apt install$missing" >&2
        exit 1
    fi
fi

[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "setup: installing the pinned packages of $lock into .venv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-compile -r "$lock"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
# Importing libp2p without bytecode costs seconds at every start; compile once, whatever PYTHONDONTWRITEBYTECODE says.
.venv/bin/python -m compileall -q -j 0 .venv/lib mls ordering node >/dev/null || true
touch ".venv/.$kind-ready"
[ "$kind" = run ] || touch .venv/.run-ready
