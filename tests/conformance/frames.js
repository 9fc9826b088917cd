'use strict';
/* Sections 1 to 7 of the Autobahn TestSuite's case list: framing, pings, reserved bits, opcodes, fragmentation, UTF-8,
 * closing. A case is data:
 *   id     as in the published list
 *   send   frames in order; {wait: ms} waits, {quiet: ms} waits and sees that nothing comes back, {failed: true} waits
 *          for the close frame before going on (fail-fast). `cuts` of a frame: the first N bytes of its payload, then
 *          quiet, N more, then failed, then the rest
 *   how    'whole' (one write), 'frames' (a write a frame) or a number: writes of that many bytes
 *   echo   what comes back, in order, before the close frame
 *   code   of that close frame; without `code` the client closes with 1000 at the end and gets it back */

const { OP, closeFrame, fragments } = require('./client');

const text = (payload, more = {}) => ({ opcode: OP.TEXT, payload, ...more });
const binary = (payload, more = {}) => ({ opcode: OP.BINARY, payload, ...more });
const more = (payload, rest = {}) => ({ opcode: OP.CONTINUATION, payload, ...rest });
const ping = (payload = '', rest = {}) => ({ opcode: OP.PING, payload, ...rest });
const pong = (payload = '', rest = {}) => ({ opcode: OP.PONG, payload, ...rest });
const hex = (digits) => Buffer.from(digits.replace(/ /g, ''), 'hex');
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const open = { fin: false };

const cases = [];
const add = (id, send, { how = 'whole', echo = [], code } = {}) => cases.push({ id, send, how, echo, code });

/* 1: messages of each form of length */
[0, 125, 126, 127, 128, 65535, 65536, 65536].forEach((size, i) => {
    const how = i === 7 ? 997 : 'whole';
    const letters = '*'.repeat(size);
    const bytes = Buffer.alloc(size, 0xfe);
    add(`1.1.${i + 1}`, [text(letters)], { how, echo: [['text', letters]] });
    add(`1.2.${i + 1}`, [binary(bytes)], { how, echo: [['binary', bytes]] });
});

/* 2: pings and pongs */
const odd = hex('00fffefdfcfb00ff');
const ten = range(0, 9).map((i) => `payload-${i}`);
add('2.1', [ping()], { echo: [['pong', '']] });
add('2.2', [ping('Hello, world!')], { echo: [['pong', 'Hello, world!']] });
add('2.3', [ping(odd)], { echo: [['pong', odd]] });
add('2.4', [ping(Buffer.alloc(125, 0xfe))], { echo: [['pong', Buffer.alloc(125, 0xfe)]] });
add('2.5', [ping(Buffer.alloc(126, 0xfe))], { code: 1002 });
add('2.6', [ping(Buffer.alloc(125, 0xfe))], { how: 1, echo: [['pong', Buffer.alloc(125, 0xfe)]] });
add('2.7', [pong()]);
add('2.8', [pong('unasked')]);
add('2.9', [pong('unasked'), ping('asked')], { echo: [['pong', 'asked']] });
add('2.10', ten.map((payload) => ping(payload)), { echo: ten.map((payload) => ['pong', payload]) });
add('2.11', ten.map((payload) => ping(payload)), { how: 1, echo: ten.map((payload) => ['pong', payload]) });

/* 3: reserved bits */
const hello = 'Hello, world!';
add('3.1', [text(hello, { rsv: 1 })], { code: 1002 });
add('3.2', [text(hello), text(hello, { rsv: 2 }), ping()], { echo: [['text', hello]], code: 1002 });
add('3.3', [text(hello), text(hello, { rsv: 3 }), ping()], { how: 'frames', echo: [['text', hello]], code: 1002 });
add('3.4', [text(hello), text(hello, { rsv: 4 }), ping()], { how: 1, echo: [['text', hello]], code: 1002 });
add('3.5', [binary(odd, { rsv: 5 })], { code: 1002 });
add('3.6', [ping(hello, { rsv: 6 })], { code: 1002 });
add('3.7', [{ ...closeFrame(1000), rsv: 7 }], { code: 1002 });

/* 4: reserved opcodes */
for (const [section, first] of [['4.1', 3], ['4.2', 11]]) {
    add(`${section}.1`, [{ opcode: first }], { code: 1002 });
    add(`${section}.2`, [{ opcode: first + 1, payload: 'reserved' }], { code: 1002 });
    add(`${section}.3`, [text(hello), { opcode: first + 2 }, ping()], { how: 'frames', echo: [['text', hello]], code: 1002 });
    add(`${section}.4`, [text(hello), { opcode: first + 3, payload: hello }, ping()],
        { how: 'frames', echo: [['text', hello]], code: 1002 });
    add(`${section}.5`, [text(hello), { opcode: first + 4, payload: hello }, ping()],
        { how: 1, echo: [['text', hello]], code: 1002 });
}

/* 5: fragmentation */
const [f1, f2, f3, f4, f5] = range(1, 5).map((i) => `fragment${i}`);
const waysOf = (ids, send, rest) => ids.forEach((id, i) => add(id, send, { ...rest, how: ['whole', 'frames', 1][i] }));
add('5.1', [ping(f1, open), more(f2)], { code: 1002 });
add('5.2', [pong(f1, open), more(f2)], { code: 1002 });
waysOf(['5.3', '5.4', '5.5'], [text(f1, open), more(f2)], { echo: [['text', f1 + f2]] });
waysOf(['5.6', '5.7', '5.8'], [text(f1, open), ping('between'), more(f2)],
    { echo: [['pong', 'between'], ['text', f1 + f2]] });
waysOf(['5.9', '5.10', '5.11'], [more('nothing to continue'), text(hello)], { code: 1002 });
waysOf(['5.12', '5.13', '5.14'], [more('nothing to continue', open), text(hello)], { code: 1002 });
add('5.15', [text(f1, open), more(f2), more(f3, open), text(f4)], { echo: [['text', f1 + f2]], code: 1002 });
const twice = (frames) => [...frames, ...frames];
add('5.16', twice([more(f1, open), text(f2, open), more(f3)]), { code: 1002 });
add('5.17', twice([more(f1), text(f2, open), more(f3)]), { code: 1002 });
add('5.18', [text(f1, open), text(f2)], { code: 1002 });
const late = [['pong', 'one'], ['pong', 'two'], ['text', f1 + f2 + f3 + f4 + f5]];
for (const [id, how] of [['5.19', 'whole'], ['5.20', 'frames']]) {
    add(id, [text(f1, open), more(f2, open), ping('one'), { wait: 100 }, more(f3, open), more(f4, open), ping('two'), more(f5)],
        { how, echo: late });
}

/* 6: UTF-8 */
const KOSME = 'κόσμε';
const invalidInside = Buffer.concat([Buffer.from(KOSME), hex('eda080'), Buffer.from('edited')]);
add('6.1.1', [text('')], { echo: [['text', '']] });
add('6.1.2', [text('', open), more('', open), more('')], { echo: [['text', '']] });
add('6.1.3', [text('', open), more('middle', open), more('')], { echo: [['text', 'middle']] });
const mixed = 'Hello-µ@ßöäüàá-UTF-8!!';
add('6.2.1', [text(mixed)], { echo: [['text', mixed]] });
add('6.2.2', [text('Hello-µ@ßöä', open), more('üàá-UTF-8!!')], { echo: [['text', mixed]] });
add('6.2.3', fragments(mixed, 1), { echo: [['text', mixed]] });
add('6.2.4', fragments(KOSME, 1), { echo: [['text', KOSME]] });
add('6.3.1', [text(invalidInside)], { code: 1007 });
add('6.3.2', fragments(invalidInside, 1), { code: 1007 });
/* Fail-fast: an invalid code point is reported before the message has ended. */
const parts = [Buffer.from(KOSME), hex('f4908080'), Buffer.from('edited')];
const [before, bad, after] = parts;
const quiet = { quiet: 100 };
add('6.4.1', [text(before, open), quiet, more(bad, open), { failed: true }, more(after)], { how: 'frames', code: 1007 });
add('6.4.2', [text(Buffer.concat([before, bad.subarray(0, 1)]), open), quiet, more(bad.subarray(1, 2), open), { failed: true },
    more(Buffer.concat([bad.subarray(2), after]))], { how: 'frames', code: 1007 });
/* The same inside one frame that comes in pieces: cut[i] bytes of the payload, then a pause. */
for (const [id, cuts] of [['6.4.3', [before.length, bad.length]], ['6.4.4', [before.length + 1, 1]]]) {
    add(id, [{ ...text(Buffer.concat(parts)), cuts }], { code: 1007 });
}

const valid = (section, payloads) => payloads.forEach((payload, i) => {
    const bytes = typeof payload === 'string' ? hex(payload) : payload;
    add(`${section}.${i + 1}`, [text(bytes)], { echo: [['text', bytes]] });
});
const invalid = (section, payloads, from = 1) => payloads.forEach((payload, i) => {
    add(`${section}.${i + from}`, [text(typeof payload === 'string' ? hex(payload) : payload)], { code: 1007 });
});
const lonely = (from, to) => Buffer.from(range(from, to - 1).flatMap((byte) => [byte, 0x20]));
const cutOff = ['c0', 'e080', 'f08080', 'f8808080', 'fc80808080', 'df', 'efbf', 'f7bfbf', 'fbbfbfbf', 'fdbfbfbfbf'];
valid('6.5', ['hello$world', 'hello¢world', 'hello€world', 'hello\u{24b62}world', KOSME].map((word) => Buffer.from(word)));
range(1, Buffer.byteLength(KOSME)).forEach((length) => {
    const prefix = Buffer.from(KOSME).subarray(0, length);
    const isWhole = Buffer.from(prefix.toString()).equals(prefix);
    add(`6.6.${length}`, [text(prefix)], isWhole ? { echo: [['text', prefix]] } : { code: 1007 });
});
valid('6.7', ['00', 'c280', 'e0a080', 'f0908080']);
invalid('6.8', ['f888808080', 'fc8480808080']);
valid('6.9', ['7f', 'dfbf', 'efbfbf', 'f48fbfbf']);
invalid('6.10', ['f7bfbfbf', 'fbbfbfbfbf', 'fdbfbfbfbfbf']);
valid('6.11', ['ed9fbf', 'ee8080', 'efbfbd', 'f48fbfbf']);
invalid('6.11', ['f4908080'], 5);
invalid('6.12', ['80', 'bf', '80bf', '80bf80', '80bf80bf', '80bf80bf80', '80bf80bf80bf', Buffer.from(range(0x80, 0xbe))]);
invalid('6.13', [[0xc0, 0xdf], [0xe0, 0xef], [0xf0, 0xf7], [0xf8, 0xfb], [0xfc, 0xfd]].map(([from, to]) => lonely(from, to)));
invalid('6.14', cutOff);
invalid('6.15', [cutOff.join('')]);
invalid('6.16', ['fe', 'ff', 'fefeffff']);
invalid('6.17', ['c0af', 'e080af', 'f08080af', 'f8808080af', 'fc80808080af']);
invalid('6.18', ['c1bf', 'e09fbf', 'f08fbfbf', 'f887bfbfbf', 'fc83bfbfbfbf']);
invalid('6.19', ['c080', 'e08080', 'f0808080', 'f880808080', 'fc8080808080']);
invalid('6.20', ['eda080', 'edadbf', 'edae80', 'edafbf', 'edb080', 'edbe80', 'edbfbf']);
invalid('6.21', ['eda080', 'edadbf', 'edae80', 'edafbf'].flatMap((high) => [`${high}edb080`, `${high}edbfbf`]));
/* The last two code points of each plane are valid UTF-8, though no characters. */
valid('6.22', range(0, 16).flatMap((plane) => [0xfffe, 0xffff].map((low) => plane * 0x10000 + low))
    .map((point) => Buffer.from(String.fromCodePoint(point))));
valid('6.23', range(0xfff9, 0xffff).map((point) => Buffer.from(String.fromCodePoint(point))));

/* 7: closing */
const normal = closeFrame(1000);
add('7.1.1', [text(hello), normal], { echo: [['text', hello]], code: 1000 });
add('7.1.2', [normal, normal], { code: 1000 });
add('7.1.3', [normal, ping()], { code: 1000 });
add('7.1.4', [normal, text(hello)], { code: 1000 });
add('7.1.5', [text(f1, open), normal, more(f2)], { code: 1000 });
const long = 'BAsd7&jh23'.repeat(26214);
add('7.1.6', [text(long), text(hello), normal, ping()], { echo: [['text', long], ['text', hello]], code: 1000 });
add('7.3.1', [{ opcode: OP.CLOSE }], { code: 1005 });
add('7.3.2', [{ opcode: OP.CLOSE, payload: 'a' }], { code: 1002 });
add('7.3.3', [normal], { code: 1000 });
add('7.3.4', [closeFrame(1000, hello)], { code: 1000 });
add('7.3.5', [closeFrame(1000, '*'.repeat(123))], { code: 1000 });
add('7.3.6', [closeFrame(1000, '*'.repeat(124))], { code: 1002 });
add('7.5.1', [closeFrame(1000, invalidInside)], { code: 1007 });
[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999].forEach((code, i) => {
    add(`7.7.${i + 1}`, [closeFrame(code)], { code });
});
[0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999].forEach((code, i) => {
    add(`7.9.${i + 1}`, [closeFrame(code)], { code: 1002 });
});
add('7.13.1', [closeFrame(5000)], { code: 1002 });
add('7.13.2', [closeFrame(65535)], { code: 1002 });

module.exports = cases;
