/* The forms in which a notification is written to sessions. Each is encoded when it is first asked
 * for and then shared by all sessions; it lives as long as the notification. Any thread. */
#ifndef HERALD_PROTO_NOTIFICATION_FORMS_H
#define HERALD_PROTO_NOTIFICATION_FORMS_H

#include "proto/note/notification.h"

struct deflater;

enum notification_form {
    FORM_PLAIN, /* the data as a text frame */
    FORM_V1,    /* a herald.v1 message as a text frame */
    FORM_SSE,   /* lines of an event stream, without a frame */
};

/* The notification's bytes in the form. NULL: out of memory. */
struct payload *notification_form(struct notification *note, enum notification_form form);

/* The same as one compressed frame (RFC 7692, 6.1), or the form itself if compression does not make
 * it smaller. Not for FORM_SSE. `deflater` is the calling thread's. NULL: out of memory. */
struct payload *notification_compressed(struct notification *note, enum notification_form form,
                                        struct deflater *deflater);

#endif
