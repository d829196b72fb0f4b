#!/bin/sh
# What `./dev test-vm` runs inside the emulated machine, from the checkout, whose files are read-only there.
# build/vm/ is the one folder shared for writing: `arguments` (quoted for sh) comes in; `summary` and `code` go out.
set -eu
unset XDG_RUNTIME_DIR
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export OCIRUN_LANE=vm PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

mount -t tmpfs -o size=80%,mode=1777 tmpfs /tmp
# The program from memory: the shared filesystem asks the host for every file.
for folder in build/bin build/lib; do
    mkdir -p "/tmp/.copy/$folder"
    cp -a "$folder/." "/tmp/.copy/$folder"
    mount --bind "/tmp/.copy/$folder" "$folder"
done

eval "set -- $(cat build/vm/arguments)"
code=0
build/venv/bin/python -m pytest -p no:cacheprovider --basetemp=/tmp/pytest "$@" || code=$?
echo "$code" >build/vm/code
