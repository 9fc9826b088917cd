'use strict';
/* What chaos takes from the tests of fleets, which have all that the end-to-end tests have: how to start and stop things.
 * Nothing else here requires them. */

module.exports = require('../fleet/harness');
