#!/bin/sh
# enter.sh ROOT SCRIPT: runs SCRIPT by sh in ROOT, as the root of a machine of its own mounts. Call it in a private mount
# namespace. ROOT is made a mount, since pivot_root(2) inside wants one.
set -eu
root=$1
script=$2
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
exec chroot "$root" /usr/bin/env -i HOME=/root TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    ${FRESH_CERTIFICATES:+PIP_CERT="$FRESH_CERTIFICATES" SSL_CERT_FILE="$FRESH_CERTIFICATES"} sh -c "$script"
