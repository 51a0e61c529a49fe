# bash completion for remora, remorad and remora-worker. Commands and options are read from --help,
# so they are always those of the installed version. Jobs are asked for only where a daemon already
# runs: completing must not start one.

# The commands that PROGRAM --help lists.
_remora_commands() {
    "$1" --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p'
}

# The options that "PROGRAM [COMMAND] --help" lists, long and short.
_remora_options() {
    "$@" --help 2>/dev/null | sed -n 's/^  \(-[a-zA-Z]\), \(--[a-z-]*\).*/\1\n\2/p; s/^  \(--[a-z-]*\).*/\1/p'
}

# Names and ids of all jobs. Arguments: the program and its options before the command.
_remora_jobs() {
    "$@" status >/dev/null 2>&1 || return
    "$@" ls --all 2>/dev/null | awk 'NR > 1 { print $1; print $2 }' | sort -u
}

_remora() {
    local program=$1 current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local command='' i words=()
    local global=("$program")
    COMPREPLY=()

    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --socket) global+=(--socket "${COMP_WORDS[++i]}") ;;
            -*) ;;
            *) command=${COMP_WORDS[i]} && break ;;
        esac
    done
    case $previous in
        --socket | --data | --state-dir | --to | --output) mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
        --method) mapfile -t words < <(printf '%s\n' full lora lora_plus asylora dora relora mora remora) ;;
        --kind) mapfile -t words < <(printf '%s\n' step evaluation merge checkpoint) ;;
        --model) mapfile -t words < <(printf 'llama-%s\n' 9m 20m 35m 40m 60m 71m 100m 130m 250m 350m 1.3b 3b 7b) ;;
        *)
            if [[ $current == -* ]]; then
                mapfile -t words < <(_remora_options "$program" ${command:+"$command"})
                words+=(--help)
            elif [[ -z $command ]]; then
                mapfile -t words < <(_remora_commands "$program")
            else
                case $command in
                    show | watch | wait | logs | events | metrics | cancel | resume | export)
                        mapfile -t words < <(_remora_jobs "${global[@]}") ;;
                esac
            fi ;;
    esac
    if ((${#words[@]} > 0)); then
        mapfile -t COMPREPLY < <(compgen -W "${words[*]}" -- "$current")
    fi
}

# Where nothing of ours fits (a spec, a folder), files are completed.
complete -o default -F _remora remora remorad remora-worker
