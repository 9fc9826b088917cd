'use strict';
/* The real program on free ports of the loopback, its admin client, and subscribers to it. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { Admin } = require('./admin');
const { Child, cleanEnvironment, residentBytes } = require('./processes');
const { rawConnect } = require('./raw');
const { keepLog } = require('./secrets');
const { EventStream } = require('./sse');
const { upgradeProcess } = require('./successor');
const { PATIENCE_MS, waitUntil } = require('./waiting');
const { Subscriber, V1 } = require('./websocket');

/* No balancer is in front. A variable, which the program of before the fleet passes over with a warning. */
const NO_DELAY = { HERALD_DRAIN_DELAY: '0s' };

class Herald extends Admin {
    /* options: store ('memory:', 'file:DIR', 'redis://...'), args, env, cwd, adminKey, files (texts by their
     * names in cwd, written before the start); tls, adminTls: options of node:tls for the clients of a port that
     * `args` makes speak TLS; workers: 2, or null where `args` and files say it; user: {uid, gid}, where the tests run as
     * root */
    constructor(binary, options) {
        super(options.adminPort, options.adminTls);
        this.binary = binary;
        this.options = options;
        this.port = options.port;
        this.log = '';
        this.clients = new Set();
        this.adminKey = options.adminKey;
        keepLog(this);
        Object.entries(options.files ?? {}).forEach(([name, text]) => this.writeFile(name, text));
    }

    /* Into its directory, as editors and secret stores do it: whole, under the same name. */
    writeFile(name, text) {
        const file = path.join(this.options.cwd, name);
        fs.writeFileSync(`${file}.new`, text, { mode: 0o600 });
        fs.renameSync(`${file}.new`, file);
    }

    arguments() {
        const { store, args = [], workers = 2 } = this.options;
        const defaults = ['--listen', `127.0.0.1:${this.port}`, '--admin-listen', `127.0.0.1:${this.adminPort}`,
            '--store', store];
        if (!args.some((arg) => arg.startsWith('--drain-time'))) {
            defaults.push('--drain-time', '0s');
        }
        if (workers !== null && !args.some((arg) => arg.startsWith('--workers'))) {
            defaults.push('--workers', String(workers));
        }
        return [...defaults, ...args];
    }

    launch() {
        this.openAgent();
        this.child = new Child(this.binary, this.arguments(), {
            env: cleanEnvironment({ ...NO_DELAY, ...this.options.env }), cwd: this.options.cwd, ...this.options.user,
        });
        this.child.process.stderr.on('data', (chunk) => { this.log += chunk; });
    }

    async start() {
        this.launch();
        await this.waitReady();
        return this;
    }

    waitReady(timeoutMs = PATIENCE_MS) {
        return this.waitStatus('/readyz', 200, timeoutMs);
    }

    async waitStatus(target, status, timeoutMs = PATIENCE_MS) {
        await waitUntil(`${target} answers ${status}`, async () => {
            if (!this.child.isRunning()) {
                return 'ended';
            }
            const answer = await this.request('GET', target, { timeoutMs: 2000 });
            return answer.status === status;
        }, timeoutMs);
        assert.ok(this.child.isRunning(), `herald ended by itself:\n${this.child.stderr}`);
    }

    /* Lines come through a pipe, and from a thread that writes them: also what was caused before comes later. From
     * the offset `from` on. */
    waitLog(pattern, from = 0) {
        return waitUntil(`the log says ${pattern}`, () => pattern.test(this.log.slice(from)));
    }

    /* A clean end is an exit with 0, and a sanitizer that found nothing. */
    async stop(timeoutMs = PATIENCE_MS) {
        if (!this.child) {
            return;
        }
        await this.upgrading?.catch(() => {}); /* a test that failed meanwhile: both processes must end */
        /* A kept connection may bring one more request: Herald would wait for it, and here none comes. */
        Object.values(this.agent.freeSockets).flat().forEach((socket) => socket.destroy());
        const end = await this.child.stop('SIGTERM', timeoutMs);
        this.agent.destroy();
        this.checkEnd(end);
    }

    checkEnd(end) {
        assert.doesNotMatch(this.log, /AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:/);
        if (!this.wasKilled) {
            assert.equal(end.signal, null, `herald died of ${end.signal}`);
            assert.deepEqual({ code: end.code, signal: end.signal }, { code: 0, signal: null },
                'herald ends with 0 on SIGTERM');
        }
    }

    async kill() {
        this.wasKilled = true;
        await this.child.stop('SIGKILL');
        this.agent.destroy();
    }

    async restart() {
        assert.ok(!this.child.isRunning(), 'stop or kill it before a restart');
        this.wasKilled = false;
        await this.start();
    }

    /* Sends SIGUSR2, and sees what comes of it (successor.js). */
    tryUpgrade(options = {}) {
        this.upgrading = this.replace(options);
        return this.upgrading;
    }

    async replace(options) {
        const isServed = () => this.request('GET', '/livez', { timeoutMs: 1000 }).then(() => true, () => false);
        const result = await upgradeProcess(this.child, { readLog: () => this.log, isServed, ...options });
        this.child = result.successor ?? this.child;
        return result;
    }

    /* As a deploy in place does it: another process takes over all that this one has, and is `child` from now on. */
    async upgrade(options) {
        const old = this.child;
        const from = this.log.length;
        const { successor } = await this.tryUpgrade(options);
        assert.ok(successor !== undefined, `it was not replaced:\n${this.log.slice(from).slice(-2000)}`);
        assert.deepEqual([old.process.exitCode ?? 0, old.process.signalCode ?? null], [0, null], 'the old process ends with 0');
    }

    /* userId null: the address names nobody. */
    target(where, userId, query = '') {
        return `${where}?${userId === null ? '' : `userId=${encodeURIComponent(userId)}`}${query}`;
    }

    url(userId, { path: where = '/ws', query } = {}) {
        return `${this.options.tls ? 'wss' : 'ws'}://127.0.0.1:${this.port}${this.target(where, userId, query)}`;
    }

    /* A subscriber of the ws package, open when this returns. */
    async subscribe(userId, options = {}) {
        const subscriber = new Subscriber(this.url(userId, options), { tls: this.options.tls, ...options });
        this.clients.add(subscriber);
        await subscriber.opened;
        return subscriber;
    }

    /* A subscriber of herald.v1, open when this returns; its hello may still be on the way. */
    async subscribeV1(userId, options = {}) {
        const client = new V1(this.url(userId, options), { tls: this.options.tls, ...options });
        this.clients.add(client);
        await client.opened;
        return client;
    }

    /* An event stream, with its answer's head when this returns. */
    async events(userId, { query = '', ...options } = {}) {
        const target = this.target('/sse', userId, query);
        const stream = new EventStream(this.port, target, { tls: this.options.tls, ...options });
        this.clients.add(stream);
        await stream.opened;
        return stream;
    }

    residentBytes() {
        return residentBytes(this.child.process.pid);
    }

    raw() {
        return rawConnect(this.port);
    }

    dropClients() {
        for (const client of this.clients) {
            client.terminate();
        }
        this.clients.clear();
    }
}

module.exports = { Herald };
