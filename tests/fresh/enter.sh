#!/bin/sh
# enter.sh ROOT SCRIPT: runs SCRIPT by sh with ROOT as the root of its mount namespace, as on a machine of its own. Call it
# in a private mount namespace. It pivots, since the kernel makes no user namespace for a process that chroot(2) confines.
set -eu
root=$1
script=$2
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mkdir run/old
pivot_root . run/old
exec chroot . /bin/sh -c '
    umount -l /run/old
    exec /usr/bin/env -i HOME=/root TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        ${FRESH_CERTIFICATES:+PIP_CERT="$FRESH_CERTIFICATES" SSL_CERT_FILE="$FRESH_CERTIFICATES"} sh -c "$1"
' sh "$script"
