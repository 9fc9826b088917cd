'use strict';
/* Starts the real program on free ports of the loopback, talks to it, and stops it again.
 * Everything a test starts hangs on its Scope and is gone when the test ends. */

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const WebSocket = require('ws');

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/* Asks until the answer is true-ish and returns it; what is asked may throw meanwhile. */
async function waitUntil(what, ask, timeoutMs = 10000) {
    const end = Date.now() + timeoutMs;
    let last;
    for (;;) {
        try {
            const answer = await ask();
            if (answer) {
                return answer;
            }
            last = answer;
        } catch (error) {
            last = error.message;
        }
        if (Date.now() > end) {
            throw new Error(`waited ${timeoutMs} ms in vain: ${what} (last: ${last})`);
        }
        await sleep(10);
    }
}

function within(promise, timeoutMs, what) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`not within ${timeoutMs} ms: ${what}`)), timeoutMs);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/* Ports given out are remembered, so that a port that was just free is not given twice in a run. */
const givenPorts = new Set();
async function freePort() {
    for (;;) {
        const server = net.createServer();
        await new Promise((resolve, reject) => {
            server.once('error', reject).listen(0, '127.0.0.1', resolve);
        });
        const { port } = server.address();
        await new Promise((resolve) => server.close(resolve));
        if (!givenPorts.has(port)) {
            givenPorts.add(port);
            return port;
        }
    }
}

/* Whatever ends the run, no process stays behind. */
const children = new Set();
process.on('exit', () => children.forEach((child) => child.signal('SIGKILL')));
for (const name of ['SIGINT', 'SIGTERM']) {
    process.on(name, () => process.exit(1));
}

/* One process: its output, its end. */
class Child {
    constructor(command, args, options = {}) {
        children.add(this);
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
        if (this.isRunning()) {
            this.process.kill(name);
        }
    }

    async stop(name, timeoutMs) {
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

/* HERALD_* of whoever runs the tests must not leak into them. */
function cleanEnvironment(extra) {
    const env = { ...process.env };
    for (const name of Object.keys(env)) {
        if (name.startsWith('HERALD_')) {
            delete env[name];
        }
    }
    return { ...env, ...extra };
}

class Herald {
    /* options: store ('memory:', 'file:DIR', 'redis://...'), args, env, cwd */
    constructor(binary, options) {
        this.binary = binary;
        this.options = options;
        this.port = options.port;
        this.adminPort = options.adminPort;
        this.log = '';
        this.clients = new Set();
    }

    arguments() {
        const { store, args = [] } = this.options;
        const defaults = ['--listen', `127.0.0.1:${this.port}`, '--admin-listen', `127.0.0.1:${this.adminPort}`,
            '--store', store];
        if (!args.some((arg) => arg.startsWith('--drain-time'))) {
            defaults.push('--drain-time', '0s');
        }
        if (!args.some((arg) => arg.startsWith('--workers'))) {
            defaults.push('--workers', '2');
        }
        return [...defaults, ...args];
    }

    launch() {
        this.agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
        this.child = new Child(this.binary, this.arguments(), {
            env: cleanEnvironment(this.options.env), cwd: this.options.cwd,
        });
        this.child.process.stderr.on('data', (chunk) => { this.log += chunk; });
    }

    async start() {
        this.launch();
        await this.waitReady();
        return this;
    }

    waitReady(timeoutMs = 15000) {
        return this.waitStatus('/readyz', 200, timeoutMs);
    }

    async waitStatus(target, status, timeoutMs = 15000) {
        await waitUntil(`${target} answers ${status}`, async () => {
            if (!this.child.isRunning()) {
                return 'ended';
            }
            const answer = await this.request('GET', target, { timeoutMs: 2000 });
            return answer.status === status;
        }, timeoutMs);
        assert.ok(this.child.isRunning(), `herald ended by itself:\n${this.child.stderr}`);
    }

    /* A clean end is an exit with 0, and a sanitizer that found nothing. */
    async stop(timeoutMs = 20000) {
        if (!this.child) {
            return;
        }
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
        await this.child.stop('SIGKILL', 5000);
        this.agent.destroy();
    }

    async restart() {
        assert.ok(!this.child.isRunning(), 'stop or kill it before a restart');
        this.wasKilled = false;
        await this.start();
    }

    /* A request to the admin port ({port} for the other): {status, headers, text, json}. */
    request(method, target, options = {}) {
        const { body, headers = {}, port = this.adminPort, timeoutMs = 20000 } = options;
        return new Promise((resolve, reject) => {
            const request = http.request({
                host: '127.0.0.1', port, method, path: target, headers, agent: this.agent,
            }, (response) => collect(response, resolve, reject));
            request.setTimeout(timeoutMs, () => request.destroy(new Error(`no answer to ${method} ${target}`)));
            request.on('error', reject);
            request.end(body);
        });
    }

    /* body: an object, or the text itself where its bytes matter. */
    post(target, body, headers = {}, options = {}) {
        const text = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
        return this.request('POST', target, {
            body: text,
            headers: {
                'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text), ...headers,
            },
            ...options,
        });
    }

    async push(userId, data, extra = {}) {
        return this.post('/push', { userId, data, ...extra });
    }

    /* Pushes and insists on the 202 (200 with ttl 0). */
    async mustPush(userId, data, extra = {}) {
        const answer = await this.push(userId, data, extra);
        assert.equal(answer.status, extra.ttl === 0 ? 200 : 202, `push to ${userId}: ${answer.text}`);
        return answer.json;
    }

    async user(userId) {
        const answer = await this.request('GET', `/users/${encodeURIComponent(userId)}`);
        assert.equal(answer.status, 200, answer.text);
        return answer.json;
    }

    waitPending(userId, count, timeoutMs) {
        return waitUntil(`${count} pending for ${userId}`,
            async () => (await this.user(userId)).pending === count, timeoutMs);
    }

    /* A metric summed over its labels; 0 when it is not there. */
    async metric(name) {
        const { text } = await this.request('GET', '/metrics');
        return text.split('\n')
            .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
            .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
    }

    url(userId, { path: where = '/ws', query = '' } = {}) {
        return `ws://127.0.0.1:${this.port}${where}?userId=${encodeURIComponent(userId)}${query}`;
    }

    /* A subscriber of the ws package, open when this returns. */
    async subscribe(userId, options = {}) {
        const subscriber = new Subscriber(this.url(userId, options), options);
        this.clients.add(subscriber);
        await subscriber.opened;
        return subscriber;
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

function collect(response, resolve, reject) {
    const chunks = [];
    response.on('data', (chunk) => chunks.push(chunk));
    response.on('error', reject);
    response.once('end', () => resolve(answerOf(response.statusCode, response.headers,
        Buffer.concat(chunks).toString())));
}

function answerOf(status, headers, text) {
    const answer = { status, headers, text, json: undefined };
    try {
        answer.json = JSON.parse(text);
    } catch {
        /* not every answer is JSON */
    }
    return answer;
}

/* A client that is independent of Herald's own framing code. Keeps all that arrives. */
class Subscriber {
    constructor(url, { autoPong = true, protocols = [], headers = {} } = {}) {
        this.messages = [];
        this.pings = [];
        this.socket = new WebSocket(url, protocols, {
            autoPong, headers, perMessageDeflate: false, handshakeTimeout: 10000,
        });
        this.socket.on('message', (bytes, isBinary) => {
            this.messages.push(isBinary ? bytes : bytes.toString());
        });
        this.socket.on('ping', (payload) => this.pings.push(payload.toString()));
        this.socket.on('error', (error) => { this.error = error; });
        this.closed = new Promise((resolve) => {
            this.socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
        });
        this.opened = new Promise((resolve, reject) => {
            this.socket.once('open', resolve);
            this.socket.on('error', reject);
        });
        this.opened.catch(() => {});
    }

    values() {
        return this.messages.map((text) => JSON.parse(text));
    }

    waitCount(count, timeoutMs = 15000) {
        return waitUntil(`${count} messages`, () => {
            this.progress = this.messages.length;
            return this.messages.length >= count;
        }, timeoutMs).catch((error) => {
            throw new Error(`${error.message}; there are ${this.messages.length}`);
        });
    }

    waitClosed(timeoutMs = 15000) {
        return within(this.closed, timeoutMs, 'the close');
    }

    async close() {
        this.socket.close();
        return this.waitClosed();
    }

    terminate() {
        this.socket.terminate();
    }
}

/* A socket that sends exactly the bytes it is told to. */
class Raw {
    constructor(socket) {
        this.socket = socket;
        this.bytes = Buffer.alloc(0);
        this.isEnded = false;
        socket.on('data', (chunk) => { this.bytes = Buffer.concat([this.bytes, chunk]); });
        socket.on('error', () => { this.isEnded = true; });
        socket.on('close', () => { this.isEnded = true; });
        socket.on('end', () => { this.isEnded = true; });
    }

    send(bytes) {
        if (!this.socket.destroyed) {
            this.socket.write(bytes);
        }
        return this;
    }

    destroy() {
        this.socket.destroy();
    }

    waitEnd(timeoutMs = 10000) {
        return waitUntil('the end of the connection', () => this.isEnded, timeoutMs);
    }

    /* One HTTP answer: {status, headers, text, json, isOpen}. What follows stays in bytes. */
    async answer(timeoutMs = 10000) {
        const take = () => {
            const split = this.bytes.indexOf('\r\n\r\n');
            if (split < 0) {
                if (this.isEnded) {
                    throw new Closed(`closed without an answer: ${JSON.stringify(this.bytes.toString())}`);
                }
                return null;
            }
            const { status, headers } = parseHead(this.bytes.subarray(0, split).toString('latin1'));
            const length = status === 101 ? 0 : Number(headers['content-length'] ?? NaN);
            const rest = this.bytes.subarray(split + 4);
            const isWhole = Number.isNaN(length) ? this.isEnded : rest.length >= length;
            if (!isWhole && !this.isEnded) {
                return null;
            }
            const size = Number.isNaN(length) ? rest.length : length;
            this.bytes = rest.subarray(size);
            return answerOf(status, headers, rest.subarray(0, size).toString());
        };
        const end = Date.now() + timeoutMs;
        for (;;) {
            const answer = take();
            if (answer) {
                return answer;
            }
            if (Date.now() > end) {
                throw new Error(`no answer within ${timeoutMs} ms: ${JSON.stringify(this.bytes.toString())}`);
            }
            await sleep(5);
        }
    }

    sendFrame(frame) {
        return this.send(encodeFrame(frame));
    }

    /* The next frame from the server: {fin, rsv, opcode, isMasked, payload}; null at the end. */
    async frame(timeoutMs = 10000) {
        const end = Date.now() + timeoutMs;
        for (;;) {
            const found = decodeFrame(this.bytes);
            if (found) {
                this.bytes = this.bytes.subarray(found.size);
                return found;
            }
            if (this.isEnded) {
                return null;
            }
            if (Date.now() > end) {
                throw new Error(`no frame within ${timeoutMs} ms`);
            }
            await sleep(5);
        }
    }

    /* The next frame that is not one of the server's own pings. */
    async frameButPings(timeoutMs) {
        for (;;) {
            const frame = await this.frame(timeoutMs);
            if (!frame || frame.opcode !== OP.PING) {
                return frame;
            }
        }
    }

    /* Waits for the close frame and the end of the connection; answers the code. */
    async closeCode(timeoutMs) {
        const frame = await this.frameButPings(timeoutMs);
        assert.ok(frame, 'the connection ended without a close frame');
        assert.equal(frame.opcode, OP.CLOSE, `a close frame, not opcode ${frame.opcode}`);
        return frame.payload.length >= 2 ? frame.payload.readUInt16BE(0) : 1005;
    }
}

class Closed extends Error {}

async function rawConnect(port) {
    const socket = net.connect({ host: '127.0.0.1', port });
    socket.setNoDelay(true);
    await new Promise((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', reject);
    });
    return new Raw(socket);
}

function parseHead(text) {
    const [first, ...lines] = text.split('\r\n');
    const headers = {};
    for (const line of lines) {
        const colon = line.indexOf(':');
        headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    return { status: Number(first.split(' ')[1]), headers };
}

/* The bytes of an opening handshake. `headers` replaces (null takes away); `lines` adds as they are. */
function handshake(target, { method = 'GET', host, headers = {}, lines = [] } = {}) {
    const all = {
        Host: host ?? '127.0.0.1',
        Upgrade: 'websocket',
        Connection: 'Upgrade',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
        ...headers,
    };
    const kept = Object.entries(all).filter(([, value]) => value !== null)
        .map(([name, value]) => `${name}: ${value}`);
    return `${[`${method} ${target} HTTP/1.1`, ...kept, ...lines].join('\r\n')}\r\n\r\n`;
}

/* Sends bytes on a connection of their own and reads one answer. */
async function exchange(port, bytes, timeoutMs) {
    const raw = await rawConnect(port);
    try {
        return await raw.send(bytes).answer(timeoutMs);
    } finally {
        raw.destroy();
    }
}

/* An open WebSocket whose frames the test writes itself. */
async function rawWebSocket(herald, userId, more = '') {
    const raw = await herald.raw();
    raw.send(Buffer.concat([
        Buffer.from(handshake(`/ws?userId=${encodeURIComponent(userId)}`)), Buffer.from(more),
    ]));
    const answer = await raw.answer();
    assert.equal(answer.status, 101, answer.text);
    return raw;
}

const OP = { CONTINUATION: 0, TEXT: 1, BINARY: 2, CLOSE: 8, PING: 9, PONG: 10 };

/* lengthBits: 7, 16 or 64 forces the form of the length; `length` lies about it. */
function encodeFrame({ fin = true, rsv = 0, opcode = OP.TEXT, mask = true, payload = '', lengthBits, length }) {
    const bytes = Buffer.from(payload);
    const size = length ?? bytes.length;
    const bits = lengthBits ?? (size < 126 ? 7 : size < 65536 ? 16 : 64);
    const head = Buffer.alloc({ 7: 2, 16: 4, 64: 10 }[bits]);
    head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
    head[1] = (mask ? 0x80 : 0) | { 7: size, 16: 126, 64: 127 }[bits];
    if (bits === 16) {
        head.writeUInt16BE(size, 2);
    } else if (bits === 64) {
        head.writeBigUInt64BE(BigInt(size), 2);
    }
    if (!mask) {
        return Buffer.concat([head, bytes]);
    }
    const key = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);
    return Buffer.concat([head, key, bytes.map((byte, i) => byte ^ key[i % 4])]);
}

function decodeFrame(bytes) {
    if (bytes.length < 2) {
        return null;
    }
    let length = bytes[1] & 0x7f;
    let at = 2;
    if (length === 126) {
        if (bytes.length < 4) {
            return null;
        }
        length = bytes.readUInt16BE(2);
        at = 4;
    } else if (length === 127) {
        if (bytes.length < 10) {
            return null;
        }
        length = Number(bytes.readBigUInt64BE(2));
        at = 10;
    }
    if (bytes.length < at + length) {
        return null;
    }
    return {
        fin: (bytes[0] & 0x80) !== 0, rsv: (bytes[0] >> 4) & 7, opcode: bytes[0] & 15,
        isMasked: (bytes[1] & 0x80) !== 0, payload: Buffer.from(bytes.subarray(at, at + length)),
        size: at + length,
    };
}

/* A Redis of the test's own: its directory, its port. */
class Redis {
    constructor(directory, port) {
        this.directory = directory;
        this.port = port;
        this.url = `redis://127.0.0.1:${port}`;
    }

    async start() {
        this.child = new Child('redis-server', ['--port', String(this.port), '--bind', '127.0.0.1',
            '--dir', this.directory, '--save', '', '--appendonly', 'yes', '--appendfsync', 'always',
            '--maxmemory-policy', 'noeviction', '--daemonize', 'no']);
        await waitUntil('redis-server answers', () => this.command('PING').then((text) => text === '+PONG'));
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
            await this.child.stop('SIGKILL', 5000);
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

class Skip extends Error {}

/* What a test has started; ended in the reverse order. */
class Scope {
    constructor(binary) {
        this.binary = binary;
        this.undo = [];
        this.heralds = [];
        this.shared = new Map();
    }

    cleanup(action) {
        this.undo.push(action);
    }

    tempDir() {
        const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'herald-e2e-'));
        this.cleanup(() => fs.rmSync(directory, { recursive: true, force: true }));
        return directory;
    }

    async redis() {
        if (!hasCommand('redis-server')) {
            throw new Skip('redis-server is not installed');
        }
        const redis = new Redis(this.tempDir(), await freePort());
        this.cleanup(() => redis.kill());
        return redis;
    }

    /* kind: 'memory', 'file' or 'redis'. */
    async store(kind) {
        if (kind === 'memory') {
            return 'memory:';
        }
        if (kind === 'file') {
            return `file:${path.join(this.tempDir(), 'store')}`;
        }
        return (await (await this.redis()).start()).url;
    }

    /* Not started yet. options.store is a kind or a whole --store. */
    async prepare(options = {}) {
        const wanted = options.store ?? 'file';
        const herald = new Herald(this.binary, {
            ...options,
            store: wanted.includes(':') ? wanted : await this.store(wanted),
            port: options.port ?? await freePort(),
            adminPort: options.adminPort ?? await freePort(),
            cwd: options.cwd ?? this.tempDir(),
        });
        this.heralds.push(herald);
        this.cleanup(async () => {
            herald.dropClients();
            await herald.stop();
        });
        return herald;
    }

    async herald(options = {}) {
        return (await this.prepare(options)).start();
    }

    /* A Herald that is meant to say something and end: {code, stdout, stderr}. */
    async runToEnd(args, options = {}) {
        const child = new Child(this.binary, args, {
            env: cleanEnvironment(options.env), cwd: options.cwd ?? this.tempDir(),
        });
        this.cleanup(() => child.stop('SIGKILL', 5000));
        const end = await within(child.exited, 10000, `the end of herald ${args.join(' ')}`);
        return { ...end, stdout: child.stdout, stderr: child.stderr };
    }

    raw(port) {
        return rawConnect(port).then((raw) => {
            this.cleanup(() => raw.destroy());
            return raw;
        });
    }

    async end() {
        const errors = [];
        for (const action of this.undo.splice(0).reverse()) {
            try {
                await action();
            } catch (error) {
                errors.push(error);
            }
        }
        if (errors.length > 0) {
            throw errors[0];
        }
    }
}

function hasCommand(name) {
    return (process.env.PATH ?? '').split(':').some((directory) => fs.existsSync(path.join(directory, name)));
}

/* An answer is a refusal of CONTRACT 4: the status, and a problem that says the same. */
function assertProblem(answer, status, expected = {}) {
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.headers['content-type'] ?? '', /^application\/problem\+json/);
    const problem = answer.json;
    assert.ok(problem, `a JSON body: ${answer.text}`);
    assert.equal(problem.status, status);
    /* Where the title says all there is to say, there need be no detail. */
    const detail = status === 400 || problem.detail !== undefined ? ['detail'] : [];
    for (const member of ['type', 'title', ...detail]) {
        assert.equal(typeof problem[member], 'string', `${member} in ${answer.text}`);
        assert.notEqual(problem[member], '', `${member} in ${answer.text}`);
    }
    for (const [member, value] of Object.entries(expected)) {
        assert.deepEqual(problem[member], value, `${member} in ${answer.text}`);
    }
}

function assertRequestId(answer) {
    assert.equal(typeof answer.json.requestId, 'string', `requestId in ${answer.text}`);
    assert.ok(answer.json.requestId.length >= 8, `requestId in ${answer.text}`);
}

const range = (count, from = 0) => Array.from({ length: count }, (_, i) => from + i);

/* Runs `count` jobs, at most `width` at once. */
async function parallel(count, width, job) {
    let next = 0;
    const lane = async () => {
        while (next < count) {
            await job(next++);
        }
    };
    await Promise.all(range(Math.min(width, count)).map(lane));
}

module.exports = {
    Child, Closed, Herald, OP, Raw, Redis, Scope, Skip, Subscriber, assertProblem, assertRequestId, encodeFrame, exchange, freePort,
    handshake, hasCommand, parallel, range, rawConnect, rawWebSocket, sleep, waitUntil, within,
};
