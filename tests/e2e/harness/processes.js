'use strict';
/* Processes: a clean environment, and an end for each of them. */

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { freePort } = require('../../support/ports');
const { PATIENCE_MS, within } = require('./waiting');

/* Whatever ends the run, no process outlives it. */
const children = new Set();
process.on('exit', () => children.forEach((child) => child.signal('SIGKILL')));
for (const name of ['SIGINT', 'SIGTERM']) {
    process.on(name, () => process.exit(1));
}

/* One process: its output, its end. With {detached: true} signals go to all that it has started, too. */
class Child {
    constructor(command, args, options = {}) {
        children.add(this);
        this.isGroup = options.detached === true;
        this.process = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
        this.stdout = '';
        this.stderr = '';
        this.process.stdout.on('data', (chunk) => { this.stdout += chunk; });
        this.process.stderr.on('data', (chunk) => { this.stderr += chunk; });
        this.exited = new Promise((resolve) => {
            this.process.once('error', (error) => resolve({ code: -1, signal: null, error }));
            this.process.once('close', (code, signal) => resolve({ code, signal }));
        }).then((end) => {
            this.end = end;
            children.delete(this);
            return end;
        });
    }

    isRunning() {
        return this.end === undefined && this.process.exitCode === null
            && this.process.signalCode === null;
    }

    signal(name) {
        if (this.isRunning() && this.isGroup) {
            process.kill(-this.process.pid, name);
        } else if (this.isRunning()) {
            this.process.kill(name);
        }
    }

    async stop(name, timeoutMs = PATIENCE_MS) {
        this.signal(name);
        try {
            return await within(this.exited, timeoutMs, `the end of ${this.process.spawnfile} after ${name}`);
        } catch (error) {
            this.signal('SIGKILL');
            await this.exited;
            throw error;
        }
    }
}

/* Variables of the caller must not leak into the tests: HERALD_*, and those of its service manager. */
const MANAGERS = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'];
function cleanEnvironment(extra) {
    const env = { ...process.env };
    for (const name of Object.keys(env)) {
        if (name.startsWith('HERALD_') || MANAGERS.includes(name)) {
            delete env[name];
        }
    }
    return { ...env, ...extra };
}

function hasCommand(name) {
    return (process.env.PATH ?? '').split(':').some((directory) => fs.existsSync(path.join(directory, name)));
}

/* What a process itself holds in memory now, in bytes: without the pages of files it has mapped. */
function residentBytes(pid) {
    const line = /^RssAnon:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
    return Number(line[1]) * 1024;
}

/* A sanitizer keeps what was freed, and is slow: sizes and times mean nothing under it. */
function isSanitized(binary) {
    const bytes = fs.readFileSync(binary);
    return bytes.includes('__asan_init') || bytes.includes('__tsan_init');
}

module.exports = { Child, children, cleanEnvironment, freePort, hasCommand, isSanitized, residentBytes };
