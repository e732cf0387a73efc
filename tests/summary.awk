# Prints one line about a report of tests (target/nextest/default/junit.xml): passed, failed, skipped by need. A test is skipped when it
# printed a line of `tests/material`, such as "skipped (shared): there is no folder …".
/<testcase / { close_case(); open = 1; need = ""; failed = 0 }
/<(failure|error)/ { failed = 1 }
match($0, /skipped \([a-z]+\): /) {
    if (need == "") { need = substr($0, RSTART + 9); sub(/\).*/, "", need) }
}
function close_case() {
    if (!open) return
    open = 0
    if (failed) failures++
    else if (need != "") { skips++; of[need]++ }
    else passes++
}
END {
    close_case()
    list = ""
    count = split("shared gpu kernels ptxas mpi python privileges long", needs, " ")
    for (i = 1; i <= count; i++)
        if (needs[i] in of) list = list (list == "" ? "" : ", ") of[needs[i]] " for want of " needs[i]
    printf "tests: %d passed, %d failed, %d skipped%s\n", passes, failures, skips, list == "" ? "" : " (" list ")"
}
