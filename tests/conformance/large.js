'use strict';
/* Sections 9 and 10 of the case list: large messages, small fragments, small writes, many messages. */

const assert = require('node:assert/strict');
const { OP, connect, encodeFrame, fragments, numbers } = require('./client');

const KIB = 1024;
const MIB = 1024 * KIB;

const texts = new Map();
function textOf(size) {
    if (!texts.has(size)) {
        const draw = numbers(size);
        const line = Array.from({ length: 1000 }, () => String.fromCharCode(32 + draw(95))).join('');
        texts.set(size, Buffer.from(line.repeat(Math.ceil(size / 1000)).slice(0, size)));
    }
    return texts.get(size);
}

async function waitEcho(client, opcode, message, count = 1) {
    await client.until(() => client.events.length >= count);
    const [kind, payload] = client.events.at(-1) ?? ['nothing'];
    assert.equal(client.events.length, count);
    assert.equal(kind, opcode === OP.TEXT ? 'text' : 'binary');
    assert.ok(payload.equals(message), `${message.length} bytes come back as they were`);
}

async function sendOne(client, { size, opcode, fragment = size, chop }) {
    const message = textOf(size);
    const bytes = Buffer.concat(fragments(message, fragment, { opcode }).map(encodeFrame));
    if (chop) {
        await client.writeChopped(bytes, chop);
    } else {
        await client.write(bytes);
    }
    await waitEcho(client, opcode, message);
}

async function sendMany(client, { size, opcode, count }) {
    const message = textOf(size);
    for (let i = 1; i <= count; i += 1) {
        await client.write(encodeFrame({ opcode, payload: message }));
        await waitEcho(client, opcode, message, i);
    }
}

const cases = [];
const add = (id, body) => cases.push({ id, run: async (port) => {
    const client = await connect(port);
    try {
        await body(client);
    } finally {
        client.socket.destroy();
    }
} });

[[1, OP.TEXT], [2, OP.BINARY]].forEach(([part, opcode]) => {
    [64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB].forEach((size, i) => {
        add(`9.${part}.${i + 1}`, (client) => sendOne(client, { size, opcode }));
    });
    [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB].forEach((fragment, i) => {
        add(`9.${part + 2}.${i + 1}`, (client) => sendOne(client, { size: 4 * MIB, opcode, fragment }));
    });
    [64, 128, 256, 512, 1024, 2048].forEach((chop, i) => {
        add(`9.${part + 4}.${i + 1}`, (client) => sendOne(client, { size: MIB, opcode, chop }));
    });
    [0, 16, 64, 256, 1024, 4096].forEach((size, i) => {
        add(`9.${part + 6}.${i + 1}`, (client) => sendMany(client, { size, opcode, count: 1000 }));
    });
});
add('10.1.1', (client) => sendOne(client, { size: 64 * KIB, opcode: OP.TEXT, fragment: 1300 }));

module.exports = cases;
