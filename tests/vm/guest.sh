#!/bin/sh
# What `./dev test-vm` runs inside an emulated machine, from the checkout, whose files are read-only there.
# build/vm/ is the one folder shared for writing: `lane`, `arguments` (quoted for sh), `folders` and SELinux's `policy` come
# in, `code` goes out.
set -eu
unset XDG_RUNTIME_DIR
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
OCIRUN_LANE=$(cat build/vm/lane)
export OCIRUN_LANE PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

modprobe -a loop ext4
image=/run/image
mkdir $image
mount -o loop,ro build/vm/image $image
while read -r folder; do
    mount --bind "$image$folder" "$folder"
done <build/vm/folders
mount -t tmpfs -o size=80%,mode=1777 tmpfs /tmp
udevadm control --exit # its workers come and go, and the tests look for what containers leave

if [ "$OCIRUN_LANE" = selinux ]; then
    mount -t selinuxfs selinuxfs /sys/fs/selinux
    cat build/vm/policy >/sys/fs/selinux/load
    echo 1 >/sys/fs/selinux/enforce
fi

eval "set -- $(cat build/vm/arguments)"
code=0
build/venv/bin/python -m pytest -p no:cacheprovider -p no:hypothesispytest --basetemp=/tmp/pytest "$@" || code=$?
echo "$code" >build/vm/code
