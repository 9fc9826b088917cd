'use strict';
/* How much memory a Herald has in use, as its malloc counts it. */

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const FILE = 'heap'; /* in the directory of the node */

/* The environment of a program that tells; `env` stays what it is otherwise. */
function tellingHeap(scope, env) {
    const folder = scope.tempDir();
    const library = path.join(folder, 'heap.so');
    fs.chmodSync(folder, 0o755);
    execFileSync('cc', ['-O1', '-shared', '-fPIC', '-o', library, path.join(__dirname, 'heap.c'), '-lpthread']);
    return { ...env, HEAP_FILE: FILE, LD_PRELOAD: [env.LD_PRELOAD, library].filter(Boolean).join(':') };
}

/* As it was a second ago. */
const bytesInUse = (node) => Number(fs.readFileSync(path.join(node.options.cwd, FILE), 'utf8'));

module.exports = { bytesInUse, tellingHeap };
