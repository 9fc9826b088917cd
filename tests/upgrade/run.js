'use strict';
/* node tests/upgrade/run.js --herald PATH [--only NAME] [--at-once N]: the tests beside it (../e2e/harness/runner.js). */

require('../e2e/harness/runner').runFolder(__dirname);
