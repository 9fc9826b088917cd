/* What a page of the inbox says about the user. Home worker's thread. */
#ifndef HERALD_PAGE_LEARN_H
#define HERALD_PAGE_LEARN_H

#include "gateway/session/session.h"
#include "gateway/store/store_request.h"

/* Takes over epoch, head and position; of a client that was unsure when the page was asked for, the
 * head is sure now. false: the page is of another epoch than the sessions, and nothing was taken
 * over. */
MUST_CHECK bool page_learn(struct session *session, const struct store_page *page);

#endif
