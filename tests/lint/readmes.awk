# The program of tests/lint/readmes: reads the list of all files, then each document; prints "DOCUMENT: WHAT".

function folder_of(path) { return path ~ /\// ? substr(path, 1, match(path, /\/[^\/]*$/) - 1) : "." }
function base_of(path) { sub(/.*\//, "", path); return path }
# What a file is called without its ending; the parts of a room are called as the room.
function stem_of(path) {
    path = base_of(path)
    sub(/[.].*/, "", path)
    sub(/_parts$/, "", path)
    return path
}
# The document that has to name a file: README.md of its folder, or of the nearest one above.
function document_of(path, folder) {
    for (folder = folder_of(path); folder != "."; folder = folder_of(folder))
        if ((folder "/README.md") in is_file)
            return folder "/README.md"
    return "README.md"
}
function below(document, path) {
    return folder_of(document) == "." ? path : folder_of(document) "/" path
}
# Is this the name of a file or folder: from the root, from the document's folder, or the end of the path of one?
function is_there(document, name) {
    sub(/\/$/, "", name)
    return name in is_file || name in is_folder || below(document, name) in is_file || below(document, name) in is_folder || \
           name in ends || base_of(name) ~ /^[.]/ || name ~ /^tests\/out(\/|$)/ || name in foreign
}
# Of the folders of tests/, these have a row for each file.
function is_listed(file) {
    return file ~ /^tests\/((e2e|browser)\/[^\/]*[.]test[.]js|lint\/[^\/]*)$/
}
# By its path from the document's folder, or by its name alone if no other file has this name.
function is_named(document, file, path, stem) {
    path = folder_of(document) == "." ? file : substr(file, length(folder_of(document)) + 2)
    stem = path
    sub(/[^\/]*$/, stem_of(path), stem)
    return (document, path) in names || (document, stem) in names || n_called[base_of(file)] == 1 && (document, base_of(file)) in names || \
           n_rooms[stem_of(file)] == 1 && (document, stem_of(file)) in names
}
function wrong(text) { print FILENAME ": " text }

BEGIN {
    # headers of libraries
    foreign["lmdb.h"] = foreign["microhttpd.h"] = 1
}
NR == FNR {
    is_file[$0] = 1
    files[++n_files] = $0
    n_called[base_of($0)]++
    if (!((folder_of($0), stem_of($0)) in is_room)) {
        is_room[folder_of($0), stem_of($0)] = 1
        n_rooms[stem_of($0)]++
    }
    for (path = $0; path ~ /\//; path = folder_of(path))
        is_folder[folder_of(path)] = 1
    # every end of the path, with the file's own ending and without, names it
    for (path = $0; ; sub(/^[^\/]*\//, "", path)) {
        ends[path] = 1
        stem = stem_of(path)
        ends[folder_of(path) == "." ? stem : folder_of(path) "/" stem] = 1
        if (path !~ /\//)
            break
        folder = folder_of(path)
        ends[folder] = 1
    }
    next
}
FNR == 1 {
    documents[++n_documents] = FILENAME
    is_block = is_file_table = 0
}
/^ *```/ { is_block = !is_block }
!/^\|/ { is_file_table = 0 }
/^\| *(file|script) *\|/ { is_file_table = 1 }
is_block { next }
{
    # what links point to
    rest = $0
    while (match(rest, /\]\([^)#:]+[)#]/)) {
        target = substr(rest, RSTART + 2, RLENGTH - 3)
        rest = substr(rest, RSTART + RLENGTH)
        while (target ~ /^[.][.]\//)
            target = substr(target, 4) # the ends of paths are looked at
        names[FILENAME, base_of(target)] = names[FILENAME, target] = 1
        if (!is_there(FILENAME, target))
            wrong("there is no " target)
    }
    # the even parts are in backquotes
    n = split($0, quoted, /`/)
    column = 0
    for (i = 1; i <= n; i++) {
        if (i % 2) {
            column += gsub(/\|/, "", quoted[i])
            continue
        }
        k = split(quoted[i], words, /[ ,;()]+/)
        for (j = 1; j <= k; j++) {
            name = words[j]
            if (name ~ /^_[a-z]/)
                name = before name
            else
                before = name
            names[FILENAME, name] = names[FILENAME, base_of(name)] = 1
            is_name = k == 1 && is_file_table && column == 1 && name !~ /^-/ && name != "file"
            if (name ~ /^[a-z0-9_.\/-]+[.](c|h|js|lua|def|md|awk|cmake|service|sysusers)$/ && name !~ /^[.]/)
                is_name = 1
            if (name ~ /^(admin|deploy|gateway|proto|tests)\/[a-z0-9_.\/-]+$/)
                is_name = 1
            if (is_name && name !~ /[A-Z*\[]/ && !is_there(FILENAME, name))
                wrong("there is no " name)
        }
    }
}
END {
    for (i = 1; i <= n_files; i++) {
        file = files[i]
        document = document_of(file)
        if (file == document || file ~ /^[.]|\/[.]|[.]png$/)
            continue
        folder = folder_of(file)
        if (document == "tests/README.md" && folder != "tests" && !is_listed(file)) {
            folder = substr(folder, 7)
            sub(/\/.*/, "", folder)
            if (!((document, folder "/") in names))
                missing[document ": does not name " folder "/"] = 1
        } else if (!is_named(document, file))
            missing[document ": does not name " file] = 1
    }
    for (text in missing)
        print text
}
