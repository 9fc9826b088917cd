'use strict';
/* Subscribers that come, go and die. Each seat belongs to one user; a user may have two. */

const WebSocket = require('ws');
const { sleep } = require('./tools');

const KINDS = ['steady', 'steady', 'steady', 'slow', 'silent', 'brief'];
const ENDS = ['reset', 'reset', 'close', 'fin']; /* half of them end by RST */
const LIFE_MS = { steady: 3000, slow: 3000, silent: 4000, brief: 60 };
const GONE_MS = 10000;

/* One session: what arrives goes into the ledger. */
class Client {
    constructor(world, userId, name, { autoPong = true } = {}) {
        this.world = world;
        this.session = world.ledger.opens(userId, name);
        this.socket = new WebSocket(world.herald.url(userId), [], {
            autoPong, perMessageDeflate: false, handshakeTimeout: 15000,
        });
        this.socket.on('message', (bytes) => {
            if (this.isDead) {
                return; /* its socket is gone: what ws still had was neither read nor acknowledged */
            }
            try {
                world.ledger.arrives(this.session, JSON.parse(bytes.toString()));
            } catch (error) {
                world.ledger.fault(`${name} got what nobody pushed: ${error.message}`);
            }
        });
        this.socket.on('error', () => {});
        this.opened = new Promise((resolve) => {
            this.socket.once('open', () => resolve(true));
            this.socket.once('close', () => resolve(false));
        });
        this.closed = new Promise((resolve) => {
            this.socket.once('close', (code) => {
                world.closes.set(code, (world.closes.get(code) ?? 0) + 1);
                resolve(code);
            });
        });
    }

    /* Ends it as `how` says; a socket that is gone already stays gone. */
    end(how) {
        const tcp = this.socket._socket; /* ws keeps the socket to itself, and only the socket can reset */
        this.tcp = tcp;
        if (how === 'close' && this.socket.readyState === WebSocket.OPEN) {
            this.socket.close();
        } else {
            this.isDead = true;
            if (how === 'reset' && tcp && !tcp.destroyed) {
                tcp.resetAndDestroy();
            } else {
                this.socket.terminate();
            }
        }
        this.socket.resume(); /* ws tells of a close only when all is read */
    }

    /* Herald ends a connection soon after the close handshake. The TCP socket's end is enough: ws may keep its own
     * 'close' back when it was paused. */
    async gone() {
        const tcp = this.tcp;
        const tcpClosed = new Promise((resolve) => {
            if (tcp && !tcp.closed) {
                tcp.once('close', () => resolve(true));
            } else if (tcp) {
                resolve(true);
            }
        });
        const isClosed = await Promise.race([this.closed.then(() => true), tcpClosed, sleep(GONE_MS).then(() => false)]);
        if (!isClosed && this.tcp && !this.tcp.destroyed) {
            this.world.ledger.fault(`${this.session.name} was not let go ${GONE_MS} ms after its end`);
        }
        this.socket.terminate();
    }
}

class Seat {
    constructor(number, userId, world) {
        this.name = `seat ${number}`;
        this.userId = userId;
        this.world = world;
        this.random = world.random.branch(this.name);
        this.lives = 0;
    }

    /* A slow one stops reading for a while, again and again. */
    async live(client, kind) {
        const end = Date.now() + this.random.around(LIFE_MS[kind]);
        while (Date.now() < end && !this.world.isOver && client.socket.readyState === WebSocket.OPEN) {
            if (kind === 'slow') {
                client.socket.pause();
                await sleep(this.random.around(200));
                if (this.random.isTrue(0.2)) {
                    return; /* it dies with bytes unread */
                }
                client.socket.resume();
            }
            await sleep(Math.max(1, Math.min(end - Date.now(), 50)));
        }
    }

    async run() {
        const { random, world } = this;
        await sleep(random.between(0, 500));
        while (!world.isOver) {
            const kind = random.pick(KINDS);
            this.lives += 1;
            const client = new Client(world, this.userId, `${this.name}.${this.lives} of ${this.userId}`,
                { autoPong: kind !== 'silent' });
            if (await client.opened) {
                await this.live(client, kind);
            }
            client.end(random.pick(ENDS));
            await client.gone();
            await sleep(random.around(300));
        }
    }
}

module.exports = { Client, Seat };
