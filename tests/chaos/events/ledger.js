'use strict';
/* What clients said and pushes asked to be told of, what was answered, and what each backend has read of it (EVENTS).
 * judge.js says at the end whether that can be.
 *
 * A message is "accepted" once it was answered so; a client repeats it with the same id until it has an answer, so at the
 * end nothing is open. A backend's record keeps each event once, and each number that was passed over in silence. */

const { EventRecord } = require('../tools');

const keyOf = (userId, clientId) => `${userId} ${clientId}`;

class Reader {
    constructor(name) {
        this.name = name;
        this.record = new EventRecord();
        this.texts = new Map(); /* id -> the event as text */
    }
}

class EventLedger {
    /* onFault(sentence): what must never happen. */
    constructor(onFault) {
        this.fault = onFault;
        this.messages = new Map(); /* "USER CLIENT-ID" -> message */
        this.alerts = new Map(); /* "USER NOTIFICATION" -> what asked to be told that it is not acknowledged */
        this.readers = [];
        this.orders = new Map(); /* connection -> {userId, sent, last}: how many were sent there, which was accepted last */
        this.counts = { said: 0, saidAgain: 0, accepted: 0, refused: {}, alerts: 0 };
    }

    /* ---- clients ---- */

    says(userId, clientId, data) {
        const message = { userId, clientId, text: JSON.stringify(data), sends: [], accepted: null };
        this.messages.set(keyOf(userId, clientId), message);
        this.counts.said += 1;
        return message;
    }

    /* Before it is written, because it may be read before it is answered. connection: a name of its own. */
    sends(message, connection) {
        const order = this.orders.get(connection) ?? { sent: 0, last: 0 };
        this.orders.set(connection, order);
        order.sent += 1;
        message.sends.push({ connection, place: order.sent });
        this.counts.saidAgain += message.sends.length > 1 ? 1 : 0;
    }

    /* `accepted` comes in the order of the messages. */
    accepts(message, connection) {
        const order = this.orders.get(connection);
        const send = message.sends.findLast((each) => each.connection === connection && each.place > order.last);
        if (send === undefined) {
            this.fault(`order: ${message.clientId} of ${message.userId} was accepted on ${connection} after a later one, or twice`);
            return;
        }
        order.last = send.place;
        if (message.accepted === null) {
            this.counts.accepted += 1;
            message.accepted = send;
        }
    }

    /* An error that names no way out: the client does not repeat it. */
    refuses(message, { code, detail }) {
        message.isRefused = true;
        this.fault(`refused: ${message.clientId} of ${message.userId} was answered ${code} (${detail})`);
    }

    delays({ code }) {
        this.counts.refused[code] = (this.counts.refused[code] ?? 0) + 1;
    }

    /* ---- publishers ---- */

    /* A push to a user who never comes, which asked to be told. */
    awaits(userId, id) {
        this.alerts.set(keyOf(userId, id), { userId, id });
        this.counts.alerts += 1;
    }

    /* ---- backends ---- */

    reader(name) {
        const reader = new Reader(name);
        this.readers.push(reader);
        return reader;
    }

    /* An event may come twice, but not as another one. */
    reads(reader, event) {
        const text = JSON.stringify(event);
        const before = reader.texts.get(event.id);
        if (before !== undefined && before !== text && event.type !== 'gap') {
            this.fault(`changed: ${reader.name} got ${event.id} as ${text.slice(0, 200)}, and before as ${before.slice(0, 200)}`);
        }
        reader.texts.set(event.id, text);
        reader.record.take(event);
    }

    /* Accepted messages and due alerts that this reader has neither had nor been told of as missing: how many. It is asked
     * while all are waited for. */
    missing(reader) {
        const had = new Set(reader.record.events.map((event) => (event.type === 'client.message'
            ? keyOf(event.userId, event.clientId) : keyOf(event.userId, event.notification))));
        return [...this.messages].filter(([key, { accepted }]) => accepted !== null && !had.has(key)).length
            + [...this.alerts.keys()].filter((key) => !had.has(key)).length;
    }
}

module.exports = { EventLedger, keyOf };
