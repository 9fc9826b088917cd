'use strict';
/* What the rolling deploy takes from the tests of fleets: how to start and stop nodes, the balancer, its guests. Nothing
 * else here requires them. */

module.exports = require('../../fleet/harness');
