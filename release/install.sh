#!/bin/sh
# install.sh PREFIX: copies what is built in build/ to a prefix of its own; run by ./dev and by deb.sh, in the repository.
set -eu
place=$1

# share FILE COMMAND...: what this command of the program prints.
share() {
    file=$place/share/$1
    shift
    mkdir -p "${file%/*}"
    build/bin/ocirun "$@" >"$file"
    chmod 644 "$file"
}

mkdir -p "$place/bin" "$place/lib"
rm -rf "$place/lib/ocirun.new"
cp -R build/lib/ocirun "$place/lib/ocirun.new"
cp build/bin/ocirun "$place/bin/ocirun.new"
chmod -R u=rwX,go=rX "$place/lib/ocirun.new"
chmod 755 "$place/bin/ocirun.new"
rm -rf "$place/lib/ocirun"
mv "$place/lib/ocirun.new" "$place/lib/ocirun"
# By renaming: containers that run keep the file that they were started with.
mv "$place/bin/ocirun.new" "$place/bin/ocirun"
share man/man8/ocirun.8 manual
share bash-completion/completions/ocirun completion bash
share zsh/site-functions/_ocirun completion zsh
share fish/vendor_completions.d/ocirun.fish completion fish
