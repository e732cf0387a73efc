# Judges what `gerelion compare` prints: fails when the FSC of some map is below 0.9999 in a shell, or there is no map; and, given
# `poses`, when a smaller share of them is identical.
/ min / {
    for (i = 1; i < NF; i++)
        if ($i == "min" && $(i + 1) ~ /^[0-9]/) { maps++; if ($(i + 1) + 0 < 0.9999) bad = 1 }
}
/pose identical/ {
    for (i = 1; i < NF; i++)
        if ($i == "deg)" && $(i - 1) == "(<0.01" && $(i + 1) + 0 < poses) bad = 1
}
END { exit bad || !maps }
