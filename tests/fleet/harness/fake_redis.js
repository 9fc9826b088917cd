'use strict';
/* A Redis that says what a test wants. It stands in front of a real one, and passes on what no rule answers; without
 * one it answers that with an error. Answers keep the order of their commands, whoever gives them.
 *
 *     const fake = await fakeRedis(t, { upstream: redis.port });
 *     fake.on('EVALSHA', ({ words }) => words.includes('herald:{anna}:meta') ? error('TRYAGAIN Multiple keys') : undefined);
 *     fake.filter((message) => message[2].startsWith('M:') ? undefined : message);
 *
 * A rule gets {name, words, connection, count}: the command in capitals, all of its words, the connection it came on, and
 * how often this command has come (from 1). It gives the answer as bytes (see `ok`, `error`, `moved`, `value`), a
 * promise of them, HANG_UP, or undefined: then the rule before it is asked, and Redis in the end. */

const net = require('node:net');
const { freePort } = require('../../e2e/harness');
const { RespReader, encodeAnswer } = require('./resp');

const HANG_UP = Symbol('hang up');
const UNASKED = ['message', 'smessage', 'pmessage'];

const ok = () => '+OK\r\n';
const error = (text) => `-${text}\r\n`;
const value = (any) => encodeAnswer(any);
const moved = (slot, host, port) => error(`MOVED ${slot} ${host}:${port}`);
const ask = (slot, host, port) => error(`ASK ${slot} ${host}:${port}`);

/* One client, and its connection to the Redis behind. */
class FakeConnection {
    constructor(fake, socket) {
        this.fake = fake;
        this.socket = socket;
        this.pending = []; /* what is awaited or filled: {name, replies, bytes} in the order of the commands */
        this.commands = new RespReader();
        this.replies = new RespReader();
        socket.setNoDelay(true);
        socket.on('error', () => {});
        socket.on('data', (chunk) => this.readCommands(chunk));
        socket.on('close', () => this.close());
        if (fake.upstreamPort !== undefined) {
            this.upstream = net.connect({ host: '127.0.0.1', port: fake.upstreamPort });
            this.upstream.setNoDelay(true);
            this.upstream.on('error', () => {});
            this.upstream.on('data', (chunk) => this.readReplies(chunk));
            this.upstream.on('close', () => this.close());
        }
    }

    readCommands(chunk) {
        this.commands.feed(chunk);
        for (let found = this.commands.next(); found !== undefined; found = this.commands.next()) {
            this.take(found.value, found.bytes);
        }
    }

    take(words, bytes) {
        const name = words[0].toUpperCase();
        const entry = { name, replies: 1, bytes: undefined };
        const answer = this.fake.answer(name, words, this);
        this.pending.push(entry);
        if (answer === HANG_UP) {
            this.close();
        } else if (answer !== undefined) {
            Promise.resolve(answer).then((text) => {
                entry.bytes = Buffer.from(text, 'latin1');
                this.flush();
            });
        } else if (this.upstream === undefined) {
            entry.bytes = Buffer.from(error(`ERR unknown command '${words[0]}'`));
            this.flush();
        } else {
            entry.isUpstream = true;
            entry.replies = ['SSUBSCRIBE', 'SUBSCRIBE', 'SUNSUBSCRIBE', 'UNSUBSCRIBE'].includes(name)
                ? Math.max(1, words.length - 1) : 1;
            entry.parts = [];
            this.upstream.write(bytes);
        }
    }

    readReplies(chunk) {
        this.replies.feed(chunk);
        for (let found = this.replies.next(); found !== undefined; found = this.replies.next()) {
            this.takeReply(found);
        }
    }

    takeReply({ value: reply, bytes }) {
        const waiting = this.pending.find(({ isUpstream, bytes: filled }) => isUpstream && filled === undefined);
        const kind = Array.isArray(reply) ? String(reply[0]) : '';
        const isUnasked = UNASKED.includes(kind)
            || (kind.endsWith('unsubscribe') && !(waiting?.name ?? '').endsWith('UNSUBSCRIBE'));
        if (isUnasked || waiting === undefined) {
            const kept = this.fake.filtered(reply);
            if (kept !== undefined) {
                this.send(kept === reply ? bytes : encodeAnswer(kept));
            }
            return;
        }
        waiting.parts.push(bytes);
        /* An error answers all the channels of a command at once. */
        if (waiting.parts.length === waiting.replies || reply instanceof Error) {
            waiting.bytes = Buffer.concat(waiting.parts);
            this.flush();
        }
    }

    flush() {
        while (this.pending.length > 0 && this.pending[0].bytes !== undefined) {
            this.send(this.pending.shift().bytes);
        }
    }

    /* Also for what nobody asked for: an `sunsubscribe`, a message. */
    send(bytes) {
        if (!this.socket.destroyed) {
            this.socket.write(bytes, 'latin1');
        }
    }

    close() {
        this.fake.connections.delete(this);
        this.socket.destroy();
        this.upstream?.destroy();
    }
}

class FakeRedis {
    constructor(port, upstreamPort) {
        this.port = port;
        this.upstreamPort = upstreamPort;
        this.url = `redis://127.0.0.1:${port}`;
        this.rules = [];
        this.counts = new Map();
        this.seen = []; /* the words of each command that came, oldest first */
        this.connections = new Set();
        this.keep = (message) => message;
        this.server = net.createServer((socket) => this.connections.add(new FakeConnection(this, socket)));
    }

    listen() {
        return new Promise((resolve, reject) => {
            this.server.once('error', reject).listen(this.port, '127.0.0.1', () => resolve(this));
        });
    }

    /* Of the rules for a command the one that was added last is asked first; answers a function that takes it back. */
    on(name, rule) {
        const added = { name: name.toUpperCase(), rule };
        this.rules.unshift(added);
        return () => { this.rules = this.rules.filter((each) => each !== added); };
    }

    /* The same answer each time, or one after the other: `undefined` in the list lets that one pass. */
    answers(name, ...list) {
        let next = 0;
        return this.on(name, () => (list.length === 1 ? list[0] : list[next++]));
    }

    /* What Redis sends unasked: gives the message to send, as it is or another, or undefined to lose it. */
    filter(keep) {
        this.keep = keep;
    }

    filtered(message) {
        return this.keep(message);
    }

    answer(name, words, connection) {
        const count = (this.counts.get(name) ?? 0) + 1;
        this.counts.set(name, count);
        this.seen.push(words);
        for (const rule of this.rules.filter((each) => each.name === name || each.name === '*')) {
            const answer = rule.rule({ name, words, connection, count });
            if (answer !== undefined) {
                return answer;
            }
        }
        return undefined;
    }

    dropConnections() {
        [...this.connections].forEach((connection) => connection.close());
    }

    close() {
        this.server.close();
        this.dropConnections();
    }
}

/* upstream: the port of the Redis behind it, if there is one. */
async function fakeRedis(t, { upstream, port } = {}) {
    const fake = await new FakeRedis(port ?? await freePort(), upstream).listen();
    t.cleanup(() => fake.close());
    return fake;
}

/* The answer to CLUSTER SLOTS; ranges: {from, to, host, port, id}. */
function slotsAnswer(ranges) {
    return value(ranges.map(({ from, to, host, port, id }) => [from, to, [host, port, id ?? 'f'.repeat(40), []]]));
}

/* A Sentinel that says what it is told to: an address and an epoch for each name that it knows, and no other Sentinel. */
async function fakeSentinel(t, masters = {}) {
    const fake = await fakeRedis(t);
    fake.masters = masters;
    fake.on('PING', () => '+PONG\r\n');
    fake.on('AUTH', ok);
    fake.on('CLIENT', ok);
    fake.on('ROLE', () => value(['sentinel', Object.keys(fake.masters)]));
    fake.on('SUBSCRIBE', ({ words }) => words.slice(1).map((name, i) => value(['subscribe', name, i + 1])).join(''));
    fake.on('SENTINEL', ({ words }) => {
        const found = fake.masters[words[2]];
        if (words[1].toUpperCase() === 'SENTINELS') {
            return found === undefined ? error('ERR No such master with that name') : value([]);
        }
        if (found === undefined) {
            return words[1].toUpperCase() === 'MASTER' ? error('ERR No such master with that name') : '*-1\r\n';
        }
        const { host = '127.0.0.1', port, epoch = 0, flags = 'master' } = found;
        return words[1].toUpperCase() === 'MASTER'
            ? value(['name', words[2], 'ip', host, 'port', String(port), 'flags', flags, 'config-epoch', String(epoch)])
            : value([host, String(port)]);
    });
    return fake;
}

module.exports = { FakeRedis, HANG_UP, answers: { ask, error, moved, ok, value }, fakeRedis, fakeSentinel, slotsAnswer };
