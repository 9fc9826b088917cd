'use strict';
/* node tests/e2e/run.js --herald PATH [--only NAME] [--at-once N]: the tests beside it (harness/runner.js). */

require('./harness/runner').runFolder(__dirname);
