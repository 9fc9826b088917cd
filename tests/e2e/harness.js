'use strict';
/* Starts the real program on free ports of the loopback, talks to it, and stops it again.
 * Everything a test starts hangs on its Scope and is gone when the test ends. */

module.exports = {
    ...require('./harness/admin'),
    ...require('./harness/answer'),
    ...require('./harness/certificates'),
    ...require('./harness/checks'),
    ...require('./harness/clock'),
    ...require('./harness/consumer'),
    ...require('./harness/event_ids'),
    ...require('./harness/herald'),
    ...require('./harness/processes'),
    ...require('./harness/proxies'),
    ...require('./harness/publishing'),
    ...require('./harness/raw'),
    ...require('./harness/redis'),
    ...require('./harness/scope'),
    ...require('./harness/secrets'),
    ...require('./harness/service_manager'),
    ...require('./harness/sse'),
    ...require('./harness/successor'),
    ...require('./harness/talker'),
    ...require('./harness/tokens'),
    ...require('./harness/waiting'),
    ...require('./harness/webhook_calls'),
    ...require('./harness/webhook_receiver'),
    ...require('./harness/websocket'),
};
