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
        print FILENAME ": the function at line " started[depth] " has " lines " lines; at most 60, split it"
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
BEGIN {
    js_function = "(function.*\\(.*|=> |^ *(async |static |get |set )*[*]?#?[a-zA-Z_$][a-zA-Z0-9_$]*\\(.*\\) )\\{$"
    js_control = "^ *(if|for|while|switch|catch) "
}
function end_file(needed) {
    if (file == "")
        return
    needed = file ~ /^tests\// ? 1 : 3
    if (count > 500)
        print file ": has " count " lines; at most 500, split it"
    if (count > 200 && story < needed && file !~ /[.](css|html)$/)
        print file ": has " count " lines and does not open with its story: write a comment of " needed " lines or more on top"
}
FNR == 1 {
    end_file()
    file = FILENAME
    kind = file
    sub(/.*\//, "", kind)
    kind = kind ~ /[.]/ ? substr(kind, match(kind, /[.][a-z]*$/) + 1) : "script"
    line_comment = kind == "lua" ? "^--" : kind ~ /^(c|h|def|js|css)$/ ? "^//" : "^#([^!]|$)"
    depth = in_comment = run = story = is_code = opened = 0
}
{ count = FNR }
!is_code { look_for_story() }
kind ~ /^[ch]$/ {
    start_function(/^\{/)
    end_function(/^\}/)
}
# The function that a file of tests is counts by its parts. Where the parameters of a function take several lines, it
# begins at the first of these.
kind == "js" {
    line = $0
    sub(/[ \t]+\/\/.*$/, "", line)
    more = gsub(/\(/, "(", line) - gsub(/\)/, ")", line)
    end_function(/^ *\}/)
    if (line ~ /\{$/ && more < 0 && opened) {
        if (is_function_opened || line ~ /=> \{$/) {
            started[++depth] = opened
            indent[depth] = opened_indent
        }
    } else
        start_function(line ~ js_function && line !~ js_control && line !~ /^module[.]exports = /)
    if (more > 0 && line !~ /\{$/) {
        opened = FNR
        opened_indent = indent_of($0)
        is_function_opened = line ~ /(function|^ *(async |static |get |set )*[*]?#?[a-zA-Z_$][a-zA-Z0-9_$]*\()/ && line !~ js_control
    } else if (line ~ /[;{}]$/)
        opened = 0
}
kind == "lua" {
    start_function(/^ *(local )?function / || /^ *(local )?[a-zA-Z0-9_.]+ = function *\(/)
    end_function(/^ *end/)
}
kind == "script" || kind == "sh" || kind == "awk" {
    start_function((/^ *[a-zA-Z0-9_]+ *\(\)( *[{(]|$)/ || /^function [a-zA-Z0-9_]+/) && !/[{(].*}$|\(\) *\(.*\)$/)
    end_function(/^ *[})]/)
}
END { end_file() }
