'use strict';
/* The examples in deploy/fleet: each starts a fleet behind nginx, which goes on when a node is killed; and its files are
 * taken by the programs that they are for. */

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const {
    Admin, Authority, Child, Herald, PATIENCE_MS, Subscriber, cleanEnvironment, freePort, programOf, range, redisNode,
    secret, startReader, waitUntil, within,
} = require('./harness');

const ROOT = path.join(__dirname, '../..');
const FOLDER = path.join(ROOT, 'deploy/fleet');
const PORTS = 20;

function isFree(port) {
    return new Promise((resolve) => {
        const server = net.createServer();
        server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
}

/* The first of a row of free ports, below those that the system gives to connections. */
function freeRow() {
    return waitUntil('a row of free ports', async () => {
        const first = 12000 + PORTS * Math.floor(Math.random() * 900);
        return (await Promise.all(range(PORTS, first).map(isFree))).every(Boolean) && first;
    });
}

/* All processes that were started with this directory, or work in it: Redis changes what it was started with. */
function processesOf(directory) {
    return fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((pid) => {
        try {
            return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(directory)
                || fs.readlinkSync(`/proc/${pid}/cwd`).startsWith(directory);
        } catch {
            return false;
        }
    });
}

class Example {
    constructor(t, kind, flags) {
        this.directory = path.join(t.tempDir(), 'run');
        this.kind = kind;
        this.flags = flags;
        this.binary = t.binary;
        t.cleanup(() => this.end('SIGKILL'));
    }

    async start() {
        const port = await freeRow();
        this.child = new Child(path.join(FOLDER, this.kind), ['--port', port, '--dir', this.directory, '--herald', this.binary, ...this.flags],
            { env: cleanEnvironment(), detached: true });
        await waitUntil('the example is ready', () => this.child.stdout.includes('Ctrl-C stops') || !this.child.isRunning(), 60000);
        const { stdout, stderr } = this.child;
        assert.ok(this.child.isRunning(), `it ended: ${stdout}\n${stderr}`);
        assert.equal(stderr, '');
        this.hasNginx = stdout.includes('behind nginx');
        this.nodes = [...stdout.matchAll(/^ {4}(node-\d) .*?:(\d+) .*?:(\d+) +PID (\d+)$/gm)].map(([, name, own, admin, pid]) =>
            ({ name, pid: Number(pid), port: Number(own), admin: this.admin(Number(admin)) }));
        this.front = this.hasNginx ? port : this.nodes[0].port;
        this.back = this.admin(this.hasNginx ? port + 1 : this.nodes[1].admin.adminPort);
        this.password = fs.readFileSync(path.join(this.directory, 'admin.password'), 'latin1').trim();
        this.tls = /redis-cli (--tls .*?)--user/.exec(stdout)?.[1].trim().split(' ') ?? [];
        this.redis = range(this.kind === 'cluster' ? 6 : 3, port + 8);
        return this;
    }

    admin(port) {
        const admin = new Admin(port);
        admin.openAgent();
        return admin;
    }

    /* What a Reader connects to. */
    entrance() {
        const { url, target } = Herald.prototype;
        return { port: this.front, options: {}, url, target };
    }

    /* What redis-cli prints for one of the Redis. */
    async ask(port, ...words) {
        const child = new Child('redis-cli', [...this.tls, '--user', 'admin', '-p', port, ...words],
            { env: { ...process.env, REDISCLI_AUTH: this.password } });
        await within(child.exited, PATIENCE_MS, 'the end of redis-cli');
        return child.stdout;
    }

    log(name) {
        return fs.readFileSync(path.join(this.directory, `${name}.log`), 'latin1');
    }

    async end(signal) {
        if (this.child?.isRunning()) {
            process.kill(this.child.process.pid, signal);
            await within(this.child.exited, PATIENCE_MS, 'the end of the example');
        }
        await waitUntil('it leaves no process', () => processesOf(this.directory).length === 0);
    }
}

/* README.md: three for each worker at each primary, and one more to ask for the map or for the primary. */
async function assertLinks(example, node) {
    const workers = Number(/ workers=(\d+) /.exec(example.log(node.name))[1]);
    const own = async (port) => (await example.ask(port, 'client', 'list')).split('\n')
        .filter((line) => line.includes(` name=herald:${node.name} `)).length;
    await waitUntil('the node has its links', async () => {
        const counts = await Promise.all(example.redis.map(own));
        const primaries = counts.filter((count) => count >= 3 * workers);
        return primaries.length === (example.kind === 'cluster' ? 3 : 1)
            && counts.reduce((sum, count) => sum + count) <= 3 * workers * primaries.length + 1;
    });
}

/* Its rights suffice: no Redis has refused anything, and no node says that something is wrong. */
async function assertContent(example) {
    for (const port of example.redis) {
        assert.equal((await example.ask(port, 'acl', 'log')).trim(), '', `refused by the Redis at ${port}`);
    }
    const warnings = example.nodes.flatMap(({ name }) => example.log(name).match(/^.* level=(warn|error) .*$/gm) ?? []);
    assert.deepEqual(warnings, []);
}

async function killTheNodeOf(example, userId) {
    const { connections } = await example.back.user(userId);
    assert.equal(connections.length, 1);
    const had = example.nodes.find(({ name }) => name === connections[0].node);
    process.kill(had.pid, 'SIGKILL');
    return had;
}

async function assertPassesOver(t, example, { name, admin }) {
    const users = range(6).map((n) => `new ${n}`);
    assert.equal((await admin.post('/drain', '')).status, 202);
    for (const userId of users) {
        const client = new Subscriber(example.entrance().url(userId));
        t.cleanup(() => client.terminate());
        await client.opened;
    }
    const { online } = (await example.back.post('/online', { userIds: users })).json;
    assert.deepEqual(online, users, `${name} drains and is passed over`);
}

async function runExample(t, kind, ...flags) {
    const example = await new Example(t, kind, flags).start();
    await waitUntil('the nodes know each other', async () =>
        (await example.back.request('GET', '/nodes')).json.nodes.filter(({ state }) => state === 'up').length === 3);
    const reader = await startReader(t, [example.entrance()], 'alice', { kind: 'v1' });
    for (const { name, admin } of example.nodes) {
        assert.equal((await admin.mustPush('alice', `at ${name}`)).nodes, 1);
    }
    await reader.waitValues(example.nodes.map(({ name }) => `at ${name}`));
    assert.equal((await example.back.push('alice', 'waits', { wait: 10 })).json.status, 'delivered');
    await assertLinks(example, example.nodes[1]);
    await assertContent(example);
    return { example, reader };
}

module.exports = (test) => {
    test('the one with Sentinel goes on behind nginx when a node is killed, and stops with Ctrl-C', async (t) => {
        const { example, reader } = await runExample(t, 'sentinel');
        const killed = example.hasNginx ? await killTheNodeOf(example, 'alice') : undefined;
        for (const { name, admin } of example.nodes.filter((node) => node !== killed)) {
            await admin.mustPush('alice', `then at ${name}`);
            await reader.waitValues([`then at ${name}`]);
        }
        for (const n of range(6)) {
            await example.back.mustPush('alice', n);
        }
        await reader.waitValues(range(6));
        if (example.hasNginx) {
            await assertPassesOver(t, example, example.nodes.find((node) => node !== killed));
        }
        await reader.stop();
        example.child.signal('SIGINT'); /* to its group, as a terminal does it */
        assert.deepEqual(await within(example.child.exited, PATIENCE_MS, 'the end of the example'), { code: 0, signal: null });
        await example.end();
        if (!example.hasNginx) {
            t.skip('the part with nginx: it is not installed and could not be fetched');
        }
    });

    test('the one with a Cluster serves behind nginx, and leaves nothing when it is killed', async (t) => {
        const { example } = await runExample(t, 'cluster');
        await Promise.all(range(30).map((n) => example.back.mustPush(`user ${n}`, n)));
        await example.end('SIGKILL');
    });

    test('with --tls all links to Redis are TLS', async (t) => {
        for (const kind of ['sentinel', 'cluster']) {
            const { example } = await runExample(t, kind, '--tls');
            const raw = await t.raw(example.redis[0]);
            raw.send('PING\r\n');
            await waitUntil('what is not TLS is refused', () => raw.isEnded);
            await example.end('SIGTERM');
        }
    });

    test('an example says which port is taken', async (t) => {
        const first = await freeRow();
        const server = net.createServer().listen(first + 7, '127.0.0.1');
        t.cleanup(() => server.close());
        const child = new Child(path.join(FOLDER, 'sentinel'), ['--port', first, '--dir', t.tempDir(), '--herald', t.binary]);
        assert.equal((await within(child.exited, PATIENCE_MS, 'the end of the example')).code, 1);
        assert.match(child.stderr, new RegExp(`^Port ${first + 7} of 127.0.0.1 is taken; this example needs ${first} to ${first + 13}\\.`));
    });

    test('herald.conf is a valid configuration', async (t) => {
        const [key, shared] = range(2).map(() => secret(crypto.randomBytes(24).toString('hex')));
        const files = { 'admin.keys': `ops admin ${key}\n`, 'jwt.keys': `${shared}\n` };
        const directory = t.tempDir();
        Object.entries(files).forEach(([name, content]) => fs.writeFileSync(path.join(directory, name), content, { mode: 0o600 }));
        const file = path.join(directory, 'herald.conf');
        fs.writeFileSync(file, fs.readFileSync(path.join(FOLDER, 'herald.conf'), 'utf8').replaceAll('/etc/herald', directory));
        const { code, stderr } = await t.runToEnd(['--config', file, '--store', 'memory:', '--check-config']);
        assert.equal(code, 0, stderr);
        assert.doesNotMatch(stderr, /level=(warn|error)/);
    });

    test('nginx.conf is a valid configuration', async (t) => {
        const nginx = [programOf('nginx'), path.join(ROOT, 'build/nginx/usr/sbin/nginx')].find((file) => file && fs.existsSync(file));
        if (nginx === undefined) {
            t.skip('nginx is not installed');
        }
        const directory = t.tempDir();
        const { cert, key } = new Authority(directory).issue('server');
        const text = fs.readFileSync(path.join(FOLDER, 'nginx.conf'), 'utf8')
            .replace('/etc/ssl/push/fullchain.pem', cert).replace('/etc/ssl/push/privkey.pem', key)
            .replace('443', await freePort()).replace('10.0.0.10:8081', `127.0.0.1:${await freePort()}`);
        const file = path.join(directory, 'nginx.conf');
        const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((each) => `${each}_temp_path ${directory}/${each};`);
        fs.writeFileSync(file, `pid ${directory}/pid; events {} http { access_log off; ${temporary.join(' ')}\n${text}\n}`);
        const child = new Child(nginx, ['-t', '-q', '-c', file, '-e', 'stderr']);
        const { code } = await within(child.exited, PATIENCE_MS, 'the end of nginx -t');
        assert.deepEqual([code, child.stderr.replace(/^.*bind\(\).*$/gm, '').trim()], [0, '']);
    });

    /* With `user default off` alone it would drop what scripts have written (redis/redis#14541, valkey-io/valkey#3983). */
    test('a Redis with users.acl has after a restart what was pushed before', async (t) => {
        const directory = t.tempDir();
        const acl = path.join(directory, 'users.acl');
        fs.writeFileSync(acl, fs.readFileSync(path.join(FOLDER, 'users.acl'), 'utf8').replaceAll(/[A-Z]+_PASSWORD/g, 'secret'));
        const redis = await (await redisNode(t, { port: await freePort(), bind: '127.0.0.1', appendonly: 'yes', appendfsync: 'always', aclfile: acl })).start();
        const herald = await t.herald({ store: `redis://herald:secret@127.0.0.1:${redis.port}` });
        await herald.mustPush('alice', 1);
        await herald.mustPush('alice', 2);
        await redis.kill();
        await redis.start();
        await waitUntil('it is there again', async () => (await herald.push('alice', 3)).status === 202);
        assert.deepEqual((await herald.inbox('alice')).notifications.map(({ data }) => data), [1, 2, 3]);
    });
};
