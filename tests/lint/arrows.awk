# The program of tests/lint/arrows: reads what nm said, then the sources.
#
# The names say which object needs what another defines, the text of the sources which file of ours says such a name, and
# the includes which header needs which. From these come the arrows between rooms, each with its reasons for the message.

# The room of a file: conn.c, conn.h and conn_parts.h are one; a table (options.def) is one of its own.
function room_of(path, whole) {
    sub(/[.][ch]$/, "", path)
    whole = path
    sub(/_parts$/, "", whole)
    return (whole ".c") in is_source || (whole ".h") in is_source ? whole : path
}
function add_arrow(from, to, by) {
    if (room_of(from) == room_of(to))
        return
    from_room = room_of(from)
    to_room = room_of(to)
    if (!((from_room, to_room) in why)) {
        uses[from_room] = uses[from_room] " " to_room
        is_room[from_room] = is_room[to_room] = 1
    }
    if (!((from, to, by) in known)) {
        known[from, to, by] = 1
        why[from_room, to_room] = why[from_room, to_room] "    " from " " by " of " to "\n"
    }
}
# Which file of ours says this name on behalf of the object: its source, a header of its room, or a header that it
# includes, in an inline function. None (a name pasted together by a macro): the source.
function speaker_of(source, name, i, n, headers, header) {
    if ((source, name) in says)
        return source
    n = split(headers_of[source], headers, " ")
    for (i = 1; i <= n; i++) {
        header = headers[i]
        if ((header, name) in says && room_of(header) != room_of(defined_in[name]))
            return header
    }
    return source
}
# Every header that a source includes, and that these include.
function gather_headers(source, path, i, n, list) {
    n = split(includes[path], list, " ")
    for (i = 1; i <= n; i++) {
        if ((source, list[i]) in gathered)
            continue
        gathered[source, list[i]] = 1
        headers_of[source] = headers_of[source] " " list[i]
        gather_headers(source, list[i])
    }
}
# What may be reached from a folder, by any number of arrows of the table.
function reach(start, folder, i, n, list) {
    if ((start, folder) in reaches)
        return
    reaches[start, folder] = 1
    n = split(may[folder], list, " ")
    for (i = 1; i <= n; i++)
        reach(start, list[i] ~ /[.]h$/ ? folder_of(list[i]) : list[i])
}
# Circles are strongly connected components (Tarjan).
function visit(room, i, n, list, other, members) {
    order[room] = low[room] = ++visited
    stack[++depth] = room
    on_stack[room] = 1
    n = split(uses[room], list, " ")
    for (i = 1; i <= n; i++) {
        other = list[i]
        if (!(other in order)) {
            visit(other)
            if (low[other] < low[room])
                low[room] = low[other]
        } else if (on_stack[other] && order[other] < low[room])
            low[room] = order[other]
    }
    if (low[room] != order[room])
        return
    members = ""
    do {
        other = stack[depth--]
        on_stack[other] = 0
        members = members " " other
    } while (other != room)
    judge_circle(members)
}
function judge_circle(members, i, k, n, list, is_known) {
    n = split(members, list, " ")
    if (n == 1)
        return
    is_known = 1
    for (i = 1; i <= n; i++) {
        in_circle[list[i]] = 1
        if (!(list[i] in meant) || meant[list[i]] != meant[list[1]])
            is_known = 0
    }
    if (is_known)
        return
    print "arrows: a circle of " n " files:" members
    for (i = 1; i <= n; i++)
        for (k = 1; k <= n; k++)
            printf "%s", why[list[i], list[k]]
    bad = 1
}
BEGIN {
    meant["gateway/net/conn"] = meant["gateway/net/conn_read"] = "conn"
    meant["gateway/stores/redis/redis_link"] = meant["gateway/stores/redis/redis_link_up"] = "redis_link"
    meant["gateway/stores/redis/redis_link_tls"] = "redis_link"
    for (i = 1; i < ARGC; i++)
        is_source[ARGV[i]] = 1
    names_file = ARGV[1]
}
# "BUILD/CMakeFiles/herald_net.dir/gateway/net/conn.c.o: conn_close T 0000 0000"
FILENAME == names_file {
    source = $1
    sub(/.*[.]dir\//, "", source)
    sub(/[.]o.*/, "", source)
    if ($3 ~ /^[TDBRCWVSG]$/)
        defined_in[$2] = source
    else if ($3 ~ /^[Uwv]$/)
        wanted[source] = wanted[source] " " $2
    next
}
FNR == 1 {
    in_comment = 0
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, quoted, "\"")
    if (quoted[2] in is_source) {
        includes[FILENAME] = includes[FILENAME] " " quoted[2]
        add_arrow(FILENAME, quoted[2], "includes the header")
    }
    next
}
{
    line = $0
    gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
    if (in_comment) {
        if (!(end = index(line, "*/")))
            next
        line = substr(line, end + 2)
        in_comment = 0
    }
    while ((start = index(line, "/*"))) {
        end = index(substr(line, start + 2), "*/")
        if (end)
            line = substr(line, 1, start - 1) " " substr(line, start + end + 3)
        else {
            line = substr(line, 1, start - 1)
            in_comment = 1
        }
    }
    sub(/\/\/.*/, "", line)
    n = split(line, words, /[^A-Za-z0-9_]+/)
    for (i = 1; i <= n; i++)
        if (words[i] in defined_in)
            says[FILENAME, words[i]] = 1
}
END {
    if (objects != c_files || objects == 0) {
        print "arrows: " objects " objects for " c_files " sources: build first"
        exit 1
    }
    for (folder in may)
        reach(folder, folder)
    for (source in wanted) {
        gather_headers(source, source)
        n = split(wanted[source], names, " ")
        for (i = 1; i <= n; i++) {
            name = names[i]
            there = defined_in[name]
            if (there == "" || there == source)
                continue
            here = speaker_of(source, name)
            add_arrow(here, there, "uses " name)
            if (!((folder_of(here), folder_of(there)) in reaches)) {
                print "arrows: runs up: " here " uses " name " of " there
                bad = 1
            }
        }
    }
    for (room in is_room)
        if (!(room in order))
            visit(room)
    for (room in meant) {
        if (!(room in in_circle)) {
            print "arrows: is in no circle any more, take it out of arrows.awk: " room
            bad = 1
        }
    }
    if (bad)
        print "arrows: move what is used below both, or let the upper part give the lower one a callback"
    exit bad
}
