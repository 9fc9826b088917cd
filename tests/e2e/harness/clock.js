'use strict';
/* A program whose clock is wrong: a library in front of libc that moves the time of day, and nothing else. */

const { execFileSync } = require('node:child_process');
const path = require('node:path');
const { hasCommand } = require('./processes');
const { Skip } = require('./scope');

/* The environment of a program whose clock is this far ahead. */
function clockAhead(t, ms) {
    if (!hasCommand('cc')) {
        throw new Skip('cc is not installed');
    }
    const library = path.join(t.tempDir(), 'clock_ahead.so');
    execFileSync('cc', ['-O1', '-shared', '-fPIC', '-o', library, path.join(__dirname, 'clock_ahead.c'), '-ldl']);
    return { LD_PRELOAD: library, CLOCK_AHEAD_MS: String(ms) };
}

module.exports = { clockAhead };
