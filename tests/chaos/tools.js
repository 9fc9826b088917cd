'use strict';
/* What chaos takes from the end-to-end tests: how to start and stop things. Nothing else here requires them. */

const { Scope, Skip, range, sleep, waitUntil, within } = require('../e2e/harness');

module.exports = { Scope, Skip, range, sleep, waitUntil, within };
