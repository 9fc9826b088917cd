'use strict';
/* A process that runs under callgrind: what it executes between two moments, in instructions in user space. */

const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const hasCallgrind = spawnSync('callgrind_control', ['--version']).status === 0;
const control = (child, ...words) => execFileSync('callgrind_control', [...words, String(child.pid)], { stdio: 'ignore' });

/* What the process has executed since the last call, and in how many seconds. */
function counterOf(child, place) {
    let since = Date.now();
    return () => {
        control(child, '-d', 'now');
        const seconds = (Date.now() - since) / 1000;
        const dumps = fs.readdirSync(place).filter((name) => name.startsWith('callgrind.'));
        const instructions = dumps.reduce((sum, name) => {
            const found = /^(?:summary|totals): (\d+)/m.exec(fs.readFileSync(path.join(place, name), 'latin1'));
            fs.rmSync(path.join(place, name));
            return sum + Number(found ? found[1] : 0);
        }, 0);
        if (instructions === 0) {
            throw new Error('callgrind has written no dump');
        }
        since = Date.now();
        return { instructions, seconds };
    };
}

/* What it runs under, as words; nothing is counted until control(child, '-i', 'on'). */
const underCallgrind = (place) => ['valgrind', '--tool=callgrind', '--instr-atstart=no', `--callgrind-out-file=${place}/callgrind`, '--'];

module.exports = { control, counterOf, hasCallgrind, underCallgrind };
