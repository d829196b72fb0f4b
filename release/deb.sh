#!/bin/sh
# deb.sh: makes build/ocirun_VERSION_ARCHITECTURE.deb out of what is built in build/, the same from the same input; run by ./dev
# in the repository. SOURCE_DATE_EPOCH (seconds) is the time of all files, else that of the last entry of the changelog.
set -eu
umask 022
export LC_ALL=C TZ=UTC
work=build/deb
root=$work/root
doc=$root/usr/share/doc/ocirun
version=$(dpkg-parsechangelog -l release/changelog -S Version)
epoch=${SOURCE_DATE_EPOCH:-$(dpkg-parsechangelog -l release/changelog -S Timestamp)}
architecture=$(dpkg --print-architecture)

rm -rf "$work"
mkdir -p "$root/DEBIAN" "$doc" "$work/debian"
sh release/install.sh "$root/usr"
# The postinst compiles these again. Licences are in the copyright file; what pip has noted is about another place.
find "$root" -name __pycache__ -prune -exec rm -rf {} +
find "$root" -name '*.so' -exec strip --strip-unneeded {} +
find "$root" -path '*.dist-info/*' -type f ! -name METADATA ! -path '*/sboms/*' -delete
find "$root/usr/lib" -type d -empty -delete
mkdir -p "$root/usr/share/zsh/vendor-completions"
mv "$root/usr/share/zsh/site-functions/_ocirun" "$root/usr/share/zsh/vendor-completions/"
rmdir "$root/usr/share/zsh/site-functions"
gzip -9n "$root/usr/share/man/man8/ocirun.8"
gzip -9nc release/changelog >"$doc/changelog.gz"
/usr/bin/python3 release/dependencies.py copyright >"$doc/copyright"
install -D -m 644 release/lintian-overrides "$root/usr/share/lintian/overrides/ocirun"
install -m 755 release/postinst release/prerm "$root/DEBIAN/"

# Of the companion and the extension modules: what they are linked with, and from which version on.
printf 'Source: ocirun\n\nPackage: ocirun\nArchitecture: any\n' >"$work/debian/control"
linked=$(cd "$work" && find root/usr/lib -type f \( -name companion -o -name '*.so' \) -print0 | sort -z |
    xargs -0 dpkg-shlibdeps -O 2>shlibdeps.log | sed -n 's/^shlibs:Depends=//p')
# Frozen into the launcher, or linked statically.
inside=$(dpkg-query -W -f='${source:Package} (= ${source:Version})\n' libc6-dev python3.11-minimal libexpat1-dev zlib1g-dev | sort -u | paste -sd, | sed 's/,/, /g')
size=$(find "$root/usr" -printf '%y %s\n' | awk '{ total += $1 == "f" ? int(($2 + 1023) / 1024) : 1 } END { print total }')
cat >"$root/DEBIAN/control" <<EOF
Package: ocirun
Version: $version
Architecture: $architecture
Maintainer: The ocirun maintainers <maintainers@ocirun.invalid>
Installed-Size: $size
Depends: $linked, libseccomp2 (>= 2.5.0), python3 (>= 3.11), python3 (<< 3.12)
Suggests: containerd | docker.io | podman, criu
Static-Built-Using: $inside
Section: admin
Priority: optional
Description: runs containers as the OCI runtime specification says
 ocirun takes a bundle, a config.json and a root filesystem, and makes a
 process out of it. It has the command line of runc, so that Podman, Docker
 and containerd can drive it in its place.
 .
 It is written in Python, and brings its own, isolated interpreter.
EOF
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
chmod 644 "$root/DEBIAN/control" "$root/DEBIAN/md5sums"
find "$root" -exec touch -h -d "@$epoch" {} +
SOURCE_DATE_EPOCH=$epoch dpkg-deb --root-owner-group -Zxz -z3 --build "$root" build >"$work/dpkg-deb.log"
echo "build/ocirun_${version}_$architecture.deb"
