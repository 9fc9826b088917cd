# The program of tests/lint/size: prints "FILE: WHAT" for each file and function that is too long.

function indent_of(line) {
    match(line, /^ */)
    return RLENGTH
}
function start_function(is_one) {
    if (is_one) {
        started[++depth] = FNR
        indent[depth] = indent_of($0)
    }
}
function end_function(is_one, lines) {
    if (!is_one || depth == 0 || indent_of($0) > indent[depth])
        return
    lines = FNR - started[depth] + 1
    if (lines > 60)
        print FILENAME ": the function at line " started[depth] " has " lines " lines"
    depth--
}
# The comment of most lines before the first line of code, which is no include, no macro and no require.
function look_for_story(text) {
    text = $0
    sub(/^[ \t]+/, "", text)
    if (in_comment || text ~ /^\/\*/ || text ~ line_comment) {
        if (++run > story)
            story = run
        if (in_comment || text ~ /^\/\*/) {
            in_comment = text !~ /\*\//
            if (!in_comment)
                run = 0
        }
        return
    }
    run = 0
    if (text != "" && text !~ /^#[ ]*(include|define|pragma)/ && text !~ /^.use strict.;$/ && text !~ /require\(/ && text !~ /^#!/)
        is_code = 1
}
function end_file(needed) {
    if (file == "")
        return
    needed = file ~ /^tests\// ? 1 : 3
    if (count > 500)
        print file ": has " count " lines"
    if (count > 200 && story < needed && file !~ /[.](css|html)$/)
        print file ": has " count " lines and does not open with its story, a comment of " needed " or more"
}
FNR == 1 {
    end_file()
    file = FILENAME
    kind = file
    sub(/.*\//, "", kind)
    kind = kind ~ /[.]/ ? substr(kind, match(kind, /[.][a-z]*$/) + 1) : "script"
    line_comment = kind == "lua" ? "^--" : kind ~ /^(c|h|def|js|css)$/ ? "^//" : "^#([^!]|$)"
    depth = in_comment = run = story = is_code = 0
}
{ count = FNR }
!is_code { look_for_story() }
kind ~ /^[ch]$/ {
    start_function(/^\{/)
    end_function(/^\}/)
}
# the function that a file of tests is counts by its parts
kind == "js" && !/^module[.]exports = / {
    start_function(/(function.*\(.*|=> |^ *(async |static )*#?[a-zA-Z_]+\(.*\) )\{$/ && !/^ *(if|for|while|switch|catch) /)
    end_function(/^ *\}/)
}
kind == "lua" {
    start_function(/^(local )?function /)
    end_function(/^end/)
}
kind == "script" || kind == "awk" {
    start_function(/^[a-z_]+\(\) \{/ || /^function [a-z_]+\(/)
    end_function(/^\}/)
}
END { end_file() }
