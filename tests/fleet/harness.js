'use strict';
/* What the end-to-end tests have, and fleets: several Heralds on one store, and the kinds of store that they share. */

module.exports = {
    ...require('../e2e/harness'),
    ...require('./harness/balancer'),
    ...require('./harness/before'),
    ...require('./harness/cluster'),
    ...require('./harness/fake_redis'),
    ...require('./harness/fleet'),
    ...require('./harness/guest'),
    ...require('./harness/presence'),
    ...require('./harness/publisher'),
    ...require('./harness/reader'),
    ...require('./harness/redis_node'),
    ...require('./harness/resp'),
    ...require('./harness/sentinels'),
};
