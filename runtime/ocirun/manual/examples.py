"""Command lines to begin with, for the help of each command and the manual page. A test reads them as `cli` does."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

EXAMPLES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "create": (
        ("ocirun create --bundle /srv/web web", "make the container web out of a bundle; start runs its program"),
        ("ocirun create --pid-file web.pid --console-socket tty.sock web", "as an engine does for one with a terminal"),
    ),
    "run": (
        ("ocirun run --bundle /srv/web web", "run it in the foreground; the exit code is the program's"),
        ("ocirun run --detach --pid-file web.pid web", "run the bundle of this directory in the background"),
        ("ocirun run --trace web.trace web", "see where the time goes; ocirun trace draws it"),
    ),
    "do": (
        ("ocirun do -- sh", "a shell that can change nothing and has no network"),
        ("ocirun do --bind .:/tmp/work --cwd /tmp/work -- make", "let it write to this directory alone"),
        ("ocirun do --memory 256m --timeout 10 -- ./program", "with limits of memory and time"),
    ),
    "start": (("ocirun start web", "run the program of a container that create has made"),),
    "state": (("ocirun state web", "its status, process id and bundle"),),
    "kill": (
        ("ocirun kill web", "ask its program to end, with the image's stop signal or SIGTERM"),
        ("ocirun kill web HUP", "send another signal, by name or number"),
        ("ocirun kill --regex '^web-' KILL", "end all containers whose id begins so"),
    ),
    "delete": (
        ("ocirun delete web", "free the id and what belongs to it, when the program has ended"),
        ("ocirun delete --force web", "whatever it does"),
    ),
    "exec": (
        ("ocirun exec --tty web sh", "a shell inside"),
        ("ocirun exec --user 1000:1000 --cwd /srv --env DEBUG=1 web id -u", "as another user, in another directory"),
        ("ocirun exec --process process.json --detach web", "as a file says, in the background"),
    ),
    "pause": (("ocirun pause web", "freeze it; kill KILL and resume still work"),),
    "resume": (("ocirun resume web", "let it go on"),),
    "update": (
        ("ocirun update --memory 512m --pids-limit 200 web", "new limits for a container that runs"),
        ("ocirun update --cpu-period 100000 --cpu-quota 50000 web", "half of a processor"),
        ("ocirun update --resources limits.json web", "all limits as a file says"),
    ),
    "mounts": (
        ("ocirun mounts add --ro-bind /srv/data:/data web", "show a running container a folder of the host"),
        ("ocirun mounts add web mounts.json", "all mounts of a file, which is written as mounts of config.json are"),
        ("ocirun mounts remove --destination /data web", "take it away again"),
    ),
    "list": (
        ("ocirun list", "a table of all containers"),
        ("ocirun --root /run/user/1000/ocirun list --quiet", "the ids of another state directory"),
    ),
    "ps": (
        ("ocirun ps web", "its processes, as ps -ef shows them"),
        ("ocirun ps --format json web", "their process ids"),
        ("ocirun ps web -o pid,rss,args", "with columns of your choice"),
    ),
    "events": (
        ("ocirun events --stats web", "what it uses, once"),
        ("ocirun events --interval 1s web", "every second, until it ends"),
    ),
    "usage": (
        ("ocirun usage", "of all containers that run, as a table"),
        ("ocirun usage --format json web", "of one, for a program"),
    ),
    "wait": (("ocirun wait web", "until its program ends; prints the exit code"),),
    "checkpoint": (
        ("ocirun checkpoint --image-path images web", "save its processes and end them"),
        ("ocirun checkpoint --image-path images --leave-running web", "save them and let it go on"),
    ),
    "restore": (("ocirun restore --image-path images --bundle /srv/web --detach web", "let it go on from there"),),
    "explain": (
        ("ocirun explain /srv/web", "the steps of a run, with kernel calls and reasons"),
        ("ocirun explain --format mermaid /srv/web > plan.mmd", "a diagram"),
    ),
    "diff-config": (("ocirun diff-config /srv/web /srv/web.new", "what a changed configuration would do differently"),),
    "trace": (("ocirun trace web.trace", "draw what run --trace has written"),),
    "spec": (
        ("ocirun spec", "write config.json, which runs a shell in rootfs, to this directory"),
        ("ocirun spec --rootless --bundle mine", "one for a plain user, to another directory"),
    ),
    "validate": (
        ("ocirun validate /srv/web", "all that is wrong with config.json, with lines and hints"),
        ("ocirun validate --host --strict /srv/web", "also whether this host can do it; warnings count as errors"),
        ("ocirun validate --format sarif /srv/web > web.sarif", "for editors and code hosts"),
    ),
    "install": (
        ("ocirun install docker --dry-run", "see what would be changed in /etc/docker/daemon.json"),
        ("ocirun install containerd --default", "for all pods that have no RuntimeClass"),
        ("ocirun install podman --undo", "take it back"),
    ),
    "features": (("ocirun features", "namespaces, capabilities, mount options and more, for engines"),),
    "completion": (
        ("ocirun completion bash > ~/.local/share/bash-completion/completions/ocirun", "for bash, and one user"),
        ("ocirun completion zsh > /usr/local/share/zsh/site-functions/_ocirun", "for zsh, and all users"),
        ("ocirun completion fish > ~/.config/fish/completions/ocirun.fish", "for fish, and one user"),
    ),
    "manual": (("ocirun manual | man -l -", "read it without installing it"),),
}
"""By command: lines, and what each of them does."""
