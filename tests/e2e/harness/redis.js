'use strict';
/* A Redis of a test's own. */

const fs = require('node:fs');
const path = require('node:path');
const { Child } = require('./processes');
const { rawConnect } = require('./raw');
const { waitUntil } = require('./waiting');

/* A Redis of the test's own: its directory, its port; `env`: of its next start. */
class Redis {
    constructor(directory, port) {
        this.directory = directory;
        this.port = port;
        this.url = `redis://127.0.0.1:${port}`;
    }

    /* It keeps all of it on disk, unless a setting says otherwise. */
    async start(...settings) {
        this.child = new Child('redis-server', ['--port', String(this.port), '--bind', '127.0.0.1',
            '--dir', this.directory, '--save', '', '--appendonly', 'yes', '--appendfsync', 'always',
            '--maxmemory-policy', 'noeviction', '--daemonize', 'no', ...settings], { env: { ...process.env, ...this.env } });
        await waitUntil('redis-server answers', async () => /^(\+PONG|-NOAUTH)/.test(await this.command('PING')));
        return this;
    }

    /* One inline command; answers the first line. */
    async command(text) {
        const raw = await rawConnect(this.port);
        try {
            raw.send(`${text}\r\n`);
            await waitUntil('an answer of Redis', () => raw.bytes.includes('\r\n') || raw.isEnded, 3000);
            return raw.bytes.toString().split('\r\n')[0];
        } finally {
            raw.destroy();
        }
    }

    pause() {
        this.child.signal('SIGSTOP');
    }

    resume() {
        this.child.signal('SIGCONT');
    }

    async kill() {
        if (this.child) {
            this.resume();
            await this.child.stop('SIGKILL');
        }
    }

    /* Back, but with nothing in it. */
    async restartEmpty() {
        await this.kill();
        for (const name of fs.readdirSync(this.directory)) {
            fs.rmSync(path.join(this.directory, name), { recursive: true });
        }
        await this.start();
    }
}

module.exports = { Redis };
