'use strict';
/* Sections 12 and 13 of the case list: permessage-deflate with five kinds of contents and with each set of
 * parameters, in messages of the list's sizes and fragments. The list sends 1000 messages of each; here it is a few,
 * of contents that are made from a seed. Beyond the list: every combination of the four parameters. */

const assert = require('node:assert/strict');
const { OP, RSV1, connect, deflate, encodeFrame, fragments, numbers } = require('./client');

const MESSAGES = 3;
const OFFER = 'permessage-deflate';
const ANSWER = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';
const SIZES = [
    ...[16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072].map((size) => [size, Infinity]),
    ...[8192, 16384, 32768, 65536, 131072].map((size) => [size, 256]),
    [131072, 1024], [131072, 4096], [131072, 32768],
];

/* About 200 KiB of each kind. */
function repeat(seed, make) {
    const draw = numbers(seed);
    let text = '';
    while (text.length < 200000) {
        text += make(draw);
    }
    return Buffer.from(text, 'latin1');
}

const WORDS = 'the user of a gateway that hands notifications to many browsers at once wants them in order'.split(' ');
const CONTENTS = [
    ['prose', OP.BINARY, repeat(1, (draw) => `${WORDS[draw(WORDS.length)]}${draw(9) ? ' ' : '.\n'}`)],
    ['a picture', OP.BINARY, repeat(2, (draw) => String.fromCharCode(100 + draw(8)).repeat(1 + draw(4)))],
    ['noise', OP.BINARY, repeat(3, (draw) => String.fromCharCode(draw(256), draw(256), draw(256)))],
    ['JSON', OP.TEXT, repeat(4, (draw) => `{"id":${draw(1e6)},"name":"${WORDS[draw(WORDS.length)]}","seen":${draw(2) === 1}},`)],
    ['HTML', OP.TEXT, repeat(5, (draw) => `<tr class="row"><td>${draw(1000)}</td><td>${WORDS[draw(WORDS.length)]}</td></tr>\n`)],
];

/* Sends slices of the contents one after the other, each when the one before has come back. */
async function exchange(client, [, opcode, contents], sizes, clientBits = 15) {
    let count = 0;
    let at = 0;
    for (const [size, fragment] of sizes) {
        const message = contents.subarray(at, at + size);
        at = (at + size) % (contents.length - 131072);
        const small = deflate(message, clientBits);
        const frames = fragments(small, Math.min(fragment, small.length || 1), { opcode, rsv: RSV1 });
        await client.write(Buffer.concat(frames.map(encodeFrame)));
        count += 1;
        await client.until(() => client.events.length >= count);
        const [kind, payload] = client.events.at(-1) ?? ['nothing'];
        assert.equal(kind, opcode === OP.TEXT ? 'text' : 'binary');
        assert.ok(payload.equals(message), `${size} bytes come back as they were`);
    }
}

async function withClient(port, offers, answer, body) {
    const client = await connect(port, offers);
    try {
        assert.equal(client.extensions, answer);
        await body(client);
    } finally {
        client.socket.destroy();
    }
}

const cases = [];
const addSizes = (id, offers, answer, contents, mustCompress) => {
    SIZES.forEach((size, i) => cases.push({
        id: `${id}.${i + 1}`,
        run: (port) => withClient(port, offers, answer, async (client) => {
            await exchange(client, contents, Array(MESSAGES).fill(size));
            assert.ok(client.compressed === (mustCompress(size[0]) ? MESSAGES : 0), `${client.compressed} were compressed`);
        }),
    }));
};

CONTENTS.forEach((contents, i) => addSizes(`12.${i + 1}`, [OFFER], ANSWER, contents, () => true));

/* A server that makes streams of one size of window sends what is longer than the agreed one uncompressed. */
const fits = (bits) => (size) => bits === 15 || size <= 2 ** bits;
const JSON_TEXT = CONTENTS[3];
const NO_TAKEOVER = 'server_no_context_takeover';
const windowOf = (bits) => `server_max_window_bits=${bits}`;
[
    [[OFFER], 15, false],
    [[`${OFFER}; ${NO_TAKEOVER}`], 15, false],
    [[`${OFFER}; ${windowOf(9)}`], 9, true],
    [[`${OFFER}; ${windowOf(15)}`], 15, true],
    [[`${OFFER}; ${NO_TAKEOVER}; ${windowOf(9)}`], 9, true],
    [[`${OFFER}; ${NO_TAKEOVER}; ${windowOf(15)}`], 15, true],
    [[`${OFFER}; ${NO_TAKEOVER}; ${windowOf(9)}, ${OFFER}; ${NO_TAKEOVER}`, OFFER], 9, true],
    [[`${OFFER}; ${windowOf(8)}`], 8, true],
].forEach(([offers, bits, isNamed], i) => {
    const answer = isNamed ? `${ANSWER}; ${windowOf(bits)}` : ANSWER;
    addSizes(i < 7 ? `13.${i + 1}` : '13.3 (window of 8 bits)', offers, answer, JSON_TEXT, fits(bits));
});

const FLAGS = [[], [NO_TAKEOVER], ['client_no_context_takeover'], ['client_no_context_takeover', NO_TAKEOVER]];
const CLIENT_BITS = [null, '', 8, 9, 10, 11, 12, 13, 14, 15];
for (const serverBits of [null, 8, 9, 10, 11, 12, 13, 14, 15]) {
    cases.push({
        id: `13 (every combination with ${serverBits === null ? 'no server window' : windowOf(serverBits)})`,
        run: async (port) => {
            for (const flags of FLAGS) {
                for (const clientBits of CLIENT_BITS) {
                    const parameters = [...flags];
                    if (serverBits !== null) {
                        parameters.push(windowOf(serverBits));
                    }
                    if (clientBits !== null) {
                        parameters.unshift(`client_max_window_bits${clientBits ? `=${clientBits}` : ''}`);
                    }
                    const answer = serverBits === null ? ANSWER : `${ANSWER}; ${windowOf(serverBits)}`;
                    await withClient(port, [[OFFER, ...parameters].join('; ')], answer, (client) => (
                        exchange(client, JSON_TEXT, [[1, Infinity], [200, 7], [600, Infinity], [20000, 4096]], clientBits || 15)));
                }
            }
        },
    });
}

module.exports = cases;
