'use strict';
/* The program of the commit before the fleet, for tests that run old and new nodes on one Redis. */

const { execFile } = require('node:child_process');
const path = require('node:path');
const { Skip } = require('../../e2e/harness');

/* Builds it if that has not been done: tests/fleet/before says how, and prints the program's path. */
function programBefore() {
    return new Promise((resolve, reject) => {
        execFile(path.join(__dirname, '../before'), { timeout: 280000 }, (error, stdout, stderr) => {
            if (error?.code === 3) {
                reject(new Skip(stderr.trim()));
            } else if (error) {
                reject(new Error(`tests/fleet/before failed: ${stderr.slice(-600)}`));
            } else {
                resolve(stdout.trim());
            }
        });
    });
}

module.exports = { programBefore };
