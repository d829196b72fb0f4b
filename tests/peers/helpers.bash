# Read after the suite's own helpers.bash: its two programs in the background are waited for, at most 10 s.

# listening FUNCTION SOCKET-VARIABLE: FUNCTION as before, then the wait.
listening() {
	eval "unawaited_$(declare -f "$1")"
	eval "$1() { unawaited_$1; timeout 10 sh -c 'until [ -S \"\$1\" ]; do sleep 0.01; done' wait \"\$$2\"; }"
}
listening setup_recvtty CONSOLE_SOCKET
listening setup_seccompagent SECCCOMP_AGENT_SOCKET
