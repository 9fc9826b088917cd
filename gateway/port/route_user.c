#include "gateway/port/route_user.h"

#include "gateway/identity/identity.h"

bool route_user_identify(struct http_conn *http_conn, char user_id[USER_ID_MAX_BYTES], size_t *len)
{
    struct identity identity = {.user_id_len = *len};
    const char *detail = NULL;
    memcpy(identity.user_id, user_id, *len);
    enum err error = identify(http_conn_node(http_conn)->auth, http_conn_head(http_conn),
                              http_conn_bytes(http_conn).bytes, &identity, &detail);
    http_conn_count_work(http_conn, identity.work_us);
    if (error == ERR_NOT_FOUND)
        error = ERR_UNAUTHORIZED;
    if (error_http_status(error) == 401)
        http_conn_report_credentials(http_conn, error, detail);
    if (error != ERR_OK) {
        http_conn_refuse(http_conn, error, detail, error == ERR_INVALID_FIELD ? "userId" : NULL,
                         NULL);
        return false;
    }
    memcpy(user_id, identity.user_id, identity.user_id_len);
    *len = identity.user_id_len;
    return true;
}
