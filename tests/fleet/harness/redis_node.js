'use strict';
/* A redis-server whose settings are in a file, so that a Sentinel or a failover can change them for good. */

const fs = require('node:fs');
const path = require('node:path');
const { Child, Redis, Skip, freePort, hasCommand, waitUntil } = require('../../e2e/harness');
const { callRedis } = require('./resp');

/* It writes each change to its log before it answers, so what it has answered survives kill -9. */
const SETTINGS = {
    bind: '127.0.0.1', save: '""', appendonly: 'yes', appendfsync: 'no', 'maxmemory-policy': 'noeviction', daemonize: 'no',
    'repl-diskless-sync': 'yes', 'repl-diskless-sync-delay': '0', 'repl-ping-replica-period': '1', 'repl-timeout': '5',
};

class RedisNode extends Redis {
    constructor(directory, port, settings = {}, flags = []) {
        super(directory, port);
        this.flags = flags;
        this.file = path.join(directory, 'redis.conf');
        const lines = Object.entries({ port, dir: directory, ...settings }).flatMap(([name, values]) =>
            [values].flat().map((value) => `${name} ${value}`));
        fs.writeFileSync(this.file, `${lines.join('\n')}\n`);
    }

    async start() {
        this.child = new Child('redis-server', [this.file, ...this.flags]);
        await waitUntil(`redis-server answers at ${this.port}`, async () => {
            if (!this.child.isRunning()) {
                throw new Error(`it ended: ${this.child.stdout.slice(-400)}`);
            }
            return /^(\+PONG|-NOAUTH|-LOADING|-MASTERDOWN)/.test(await this.command('PING'));
        });
        return this;
    }

    call(...words) {
        return callRedis(this.port, words.length === 1 ? words[0].split(' ') : words);
    }

    isRunning() {
        return this.child?.isRunning() === true;
    }

    async role() {
        return (await this.call('ROLE'))[0];
    }

    /* A line of INFO. */
    async info(name) {
        return new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(await this.call('INFO', 'everything'))?.[1];
    }
}

/* Not started yet; it ends with the test. */
async function redisNode(t, settings = {}, flags = []) {
    if (!hasCommand('redis-server')) {
        throw new Skip('redis-server is not installed');
    }
    const node = new RedisNode(t.tempDir(), settings.port ?? await freePort(), settings, flags);
    t.cleanup(() => node.kill());
    return node;
}

module.exports = { RedisNode, SETTINGS, redisNode };
