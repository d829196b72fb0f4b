"""The scripts of `completion`. They know nothing of the command line: they ask the program that is being typed.

It answers one possible word a line, what it is stands behind a tab; `:file` and `:directory` stand for the shell's
own completion of paths. SECURITY: nothing of a line or an answer is evaluated.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_BASH: Final = r"""# Completion of ocirun for bash, printed by `ocirun completion bash`.
_ocirun() {
    local word words=() last=${COMP_WORDS[COMP_CWORD]} whole head
    # bash cuts words at = and :, and asks for what the last piece can become.
    for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
        if ((${#words[@]})) && [[ $word == [=:]* || ${words[-1]} == *[=:] ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
    done
    whole=${words[-1]}
    [[ $last != [=:] ]] || last=
    head=${whole%"$last"}
    COMPREPLY=()
    while IFS=$'\t' read -r word _; do
        case $word in
        :file) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$last") ;;
        :directory) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -d -- "$last") ;;
        "$whole"*) COMPREPLY+=("${word#"$head"}") ;;
        esac
    done < <("${COMP_WORDS[0]/#\~/$HOME}" completion bash -- "${words[@]}" 2>/dev/null)
}
complete -F _ocirun ocirun
"""

_ZSH: Final = r"""#compdef ocirun
# Completion of ocirun for zsh, printed by `ocirun completion zsh`.
_ocirun() {
    local answer tab=$'\t' program=${(Q)words[1]}
    local -a described before=("${(@Q)words[2,CURRENT-1]}")
    for answer in "${(@f)$("$program" completion zsh -- "${before[@]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
        case $answer in
        :file) compset -P '-*='; _files ;;
        :directory) compset -P '-*='; _files -/ ;;
        ?*) described+=("${${answer//:/\\:}/$tab/:}") ;;
        esac
    done
    (( $#described )) && _describe -t words ocirun described
}
if [[ $funcstack[1] == _ocirun ]]; then
    _ocirun
else
    compdef _ocirun ocirun
fi
"""

_FISH: Final = r"""# Completion of ocirun for fish, printed by `ocirun completion fish`.
function __ocirun
    set -l words (commandline -opc)
    set -l program $words[1]
    set -e words[1]
    set -l last (commandline -ct)
    set -l head (string match -r -- '^-[^=]*=' $last)
    set -l path (string replace -r -- '^-[^=]*=' '' $last)
    for answer in ($program completion fish -- $words "$last" 2>/dev/null)
        switch $answer
            case ':file'
                __fish_complete_path "$path" | string replace -r -- '^' "$head"
            case ':directory'
                __fish_complete_directories "$path" '' | string replace -r -- '^' "$head"
            case '?*'
                printf '%s\n' $answer
        end
    end
end
complete -c ocirun -f -a '(__ocirun)'
"""

SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
