#!/bin/sh
# What `./dev test-vm` runs inside an emulated machine, from the checkout, whose files are read-only there.
# build/vm/ is the one folder shared for writing: `lane`, `driver`, `runtime`, `arguments` (quoted for sh), `contents` and
# SELinux's `policy` come in, `code` goes out.
set -eu
checkout=$(realpath -s "$(dirname "$0")/../..")
unset XDG_RUNTIME_DIR
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
OCIRUN_LANE=$(cat "$checkout/build/vm/lane")
OCIRUN_DRIVER=$(cat "$checkout/build/vm/driver")
OCIRUN_RUNTIME=$(cat "$checkout/build/vm/runtime")
export OCIRUN_LANE OCIRUN_DRIVER OCIRUN_RUNTIME PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

# The checkout may lie below /tmp or /var/tmp, where this machine has filesystems of its own.
shared=/run/shared
mkdir $shared
mount --bind "$checkout/build/vm" $shared
mount -t tmpfs -o size=80%,mode=1777 tmpfs /tmp

modprobe -a loop ext4
image=/run/image
mkdir $image
mount -o loop,ro $shared/image $image
while read -r each; do
    if [ ! -e "$each" ]; then
        mkdir -p "$(dirname "$each")"
        if [ -d "$image$each" ]; then mkdir "$each"; else : >"$each"; fi
    fi
    mount --bind "$image$each" "$each"
done <$shared/contents
# Its workers come and go, and the tests look for what containers leave. On the lane systemd it is gone already.
[ "$OCIRUN_LANE" = systemd ] || udevadm control --exit

if [ "$OCIRUN_LANE" = selinux ]; then
    mount -t selinuxfs selinuxfs /sys/fs/selinux
    cat $shared/policy >/sys/fs/selinux/load
    echo 1 >/sys/fs/selinux/enforce
fi

eval "set -- $(cat $shared/arguments)"
cd "$checkout"
code=0
build/venv/bin/python -m pytest -p no:cacheprovider -p no:hypothesispytest --basetemp=/tmp/pytest "$@" || code=$?
echo "$code" >$shared/code
