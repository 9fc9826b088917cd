# The table of the folders: what the files of each may include beside their own folder ("proto" stands for all of its
# folders). tests/lint/layers holds the includes to it, tests/lint/arrows the calls by name.

# The folder that a file stands in: "gateway/stores/file", "proto/json"; "main", "gateway" and "admin" for the files of these.
function folder_of(path) {
    if (path ~ /^gateway\/main(_[a-z]+)?[.][ch]$/) return "main"
    sub(/\/[^\/]*$/, "", path)
    return path
}
function has(list, word) {
    return index(" " list " ", " " word " ") > 0
}
BEGIN {
    may["main"] = "admin/routes admin gateway gateway/upgrade gateway/base proto"
    may["admin/routes"] = "admin gateway/gateway.h gateway/events/event_requests.h gateway/events/webhook_requests.h gateway/events/online_list.h gateway/requests/requests.h gateway/requests/push_result.h gateway/node/worker.h gateway/base proto"
    may["admin"] = "gateway/gateway.h gateway/requests/requests.h gateway/http gateway/identity gateway/node gateway/net gateway/base proto"
    all = "gateway/node gateway/store gateway/net gateway/base proto"
    may["gateway"] = "gateway/events gateway/upgrade gateway/port gateway/http gateway/requests gateway/delivery gateway/session gateway/identity gateway/stores " all
    may["gateway/upgrade"] = "gateway/events gateway/port gateway/http gateway/requests gateway/delivery gateway/session gateway/identity gateway/stores " all
    may["gateway/port"] = "gateway/events gateway/http gateway/requests gateway/delivery gateway/session gateway/identity " all
    may["gateway/http"] = "gateway/identity " all
    # what backends hear: it is told by delivery and sessions through what gateway.c plugs in
    may["gateway/events"] = all
    may["gateway/requests"] = "gateway/delivery gateway/session gateway/identity " all
    may["gateway/delivery"] = "gateway/session gateway/identity " all
    may["gateway/session"] = "gateway/identity " all
    may["gateway/identity"] = "gateway/net/listener.h gateway/base proto"
    may["gateway/node"] = "gateway/store gateway/net gateway/base proto"
    may["gateway/stores"] = "gateway/stores/memory gateway/stores/file gateway/stores/redis gateway/store gateway/base proto"
    may["gateway/stores/memory"] = may["gateway/stores/file"] = "gateway/stores/local gateway/store gateway/base proto"
    may["gateway/stores/local"] = "gateway/store gateway/base proto"
    may["gateway/stores/redis"] = "gateway/store gateway/net gateway/base proto"
    may["gateway/store"] = "gateway/net gateway/base proto"
    # net: bytes, errors, addresses, the PROXY head, and the reference-counted payload that it queues
    may["gateway/net"] = "gateway/base proto proto/bytes proto/http/proxy_head.h proto/note/payload.h"
    may["gateway/base"] = "proto proto/bytes proto/http/authority.h"
    may["proto/note"] = "proto/ws proto/token proto/http proto/json proto/bytes proto"
    may["proto/ws"] = may["proto/token"] = "proto/http proto/json proto/bytes proto"
    may["proto/http"] = "proto/json proto/bytes proto"
    may["proto/json"] = "proto/bytes proto"
    may["proto/bytes"] = "proto"
    may["proto"] = ""
    for (folder in may) {
        if (folder ~ /^proto/ || folder == "gateway/net" || folder == "gateway/base")
            continue
        sub(/(^| )proto$/, " proto proto/bytes proto/json proto/http proto/ws proto/token proto/note", may[folder])
    }
}
