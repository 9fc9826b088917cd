'use strict';
/* What chaos takes from the end-to-end tests: how to start and stop things. Nothing else here requires them. */

const { EventStream, Scope, Skip, parallel, range, sleep, waitUntil, within } = require('../e2e/harness');

module.exports = { EventStream, Scope, Skip, parallel, range, sleep, waitUntil, within };
