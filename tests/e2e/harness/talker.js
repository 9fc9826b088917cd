'use strict';
/* A page that talks to its backends: it sends messages with ids of its own over herald.v1, and repeats those that were
 * not answered, with the same ids, on its next connection. */

const { PATIENCE_MS, sleep, waitUntil, within } = require('./waiting');

const AGAIN_MS = 20; /* until it connects again, and until it repeats what was refused for a while */
const PASSING = ['store-unavailable', 'rate'];

class Talker {
    /* connect() -> a promise of an open V1, for each connection; herald.subscribeV1 for the same Herald. */
    constructor(connect) {
        this.connect = connect;
        this.unanswered = new Map(); /* clientId -> {id, data, sent, resolve} in the order in which they were first sent */
        this.connections = 0;
        this.repeats = 0;
        this.answered = []; /* ids as they were accepted */
        this.refused = []; /* errors that are final */
        this.isOver = false;
        this.running = this.run();
    }

    /* Resolves with the answer that is final: {type: 'accepted'} or an error that no repeat can change. */
    say(id, data) {
        const message = { id, data, sent: 0 };
        message.answer = new Promise((resolve) => { message.resolve = resolve; });
        this.unanswered.set(id, message);
        this.send(message);
        return message.answer;
    }

    send(message) {
        if (this.client?.socket.readyState === 1) {
            this.repeats += message.sent > 0 ? 1 : 0;
            message.sent += 1;
            this.client.send({ type: 'message', id: message.id, data: message.data });
        }
    }

    async take(frame, client) {
        const message = this.unanswered.get(frame.id);
        if (message === undefined || (frame.type !== 'accepted' && frame.type !== 'error')) {
            return;
        }
        if (frame.type === 'error' && PASSING.includes(frame.code)) {
            await sleep(AGAIN_MS * (frame.code === 'rate' ? 25 : 5));
            if (client === this.client && this.unanswered.has(frame.id)) {
                this.send(message);
            }
            return;
        }
        this.unanswered.delete(frame.id);
        (frame.type === 'accepted' ? this.answered : this.refused).push(frame.type === 'accepted' ? frame.id : frame);
        message.resolve(frame);
    }

    async run() {
        while (!this.isOver) {
            const client = await this.connect().catch(() => null);
            if (client === null) {
                await sleep(AGAIN_MS);
                continue;
            }
            this.connections += 1;
            this.client = client;
            client.onFrame = (frame) => this.take(frame, client);
            [...this.unanswered.values()].forEach((message) => this.send(message));
            await client.closed;
            await sleep(AGAIN_MS);
        }
    }

    waitAnswered(timeoutMs = PATIENCE_MS) {
        return waitUntil('every message is answered', () => this.unanswered.size === 0, timeoutMs).catch((error) => {
            throw new Error(`${error.message}; unanswered: ${[...this.unanswered.keys()].slice(0, 5).join(', ')}`);
        });
    }

    async stop() {
        this.isOver = true;
        this.client?.terminate();
        await within(this.running, PATIENCE_MS, 'the end of a talker');
    }
}

module.exports = { Talker };
