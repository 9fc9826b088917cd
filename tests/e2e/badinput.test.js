'use strict';
/* CONTRACT 4: what is wrong with a push is said in a problem, and nothing of it is stored. */

const assert = require('node:assert/strict');
const { assertProblem, assertRequestId, range } = require('./harness');

const USER = 'victim';
const deep = (levels) => '['.repeat(levels) + ']'.repeat(levels);

/* name, body, status, members of the problem */
const INVALID_FIELD = (field) => [400, { type: 'invalid-field', field }];
const BODIES = [
    ['no userId', '{"data":1}', ...INVALID_FIELD('userId')],
    ['an empty object', '{}', 400, { type: 'invalid-field' }],
    ['an empty userId', '{"userId":"","data":1}', ...INVALID_FIELD('userId')],
    ['a userId of 129 bytes', `{"userId":"${'x'.repeat(129)}","data":1}`, ...INVALID_FIELD('userId')],
    ['a userId that is a number', '{"userId":42,"data":1}', ...INVALID_FIELD('userId')],
    ['a userId that is null', '{"userId":null,"data":1}', ...INVALID_FIELD('userId')],
    ['a control character in userId', '{"userId":"a\\u000ab","data":1}', ...INVALID_FIELD('userId')],
    ['a NUL in userId', '{"userId":"a\\u0000b","data":1}', ...INVALID_FIELD('userId')],
    ['no data', '{"userId":"victim"}', ...INVALID_FIELD('data')],
    ['both userId and userIds', '{"userId":"victim","userIds":["victim"],"data":1}', 400, { type: 'invalid-field' }],
    ['no one in userIds', '{"userIds":[],"data":1}', ...INVALID_FIELD('userIds')],
    ['userIds that is a string', '{"userIds":"victim","data":1}', ...INVALID_FIELD('userIds')],
    ['one bad userId among good ones', '{"userIds":["victim",""],"data":1}', 400, { type: 'invalid-field' }],
    ['10 001 userIds', JSON.stringify({ userIds: range(10001).map((n) => `victim${n}`), data: 1 }),
        ...INVALID_FIELD('userIds')],
    ['a field that is not known', '{"userId":"victim","data":1,"priority":1}', 400,
        { type: 'unknown-field', field: 'priority' }],
    ['ttl -1', '{"userId":"victim","data":1,"ttl":-1}', ...INVALID_FIELD('ttl')],
    ['ttl 1.5', '{"userId":"victim","data":1,"ttl":1.5}', ...INVALID_FIELD('ttl')],
    ['ttl "60"', '{"userId":"victim","data":1,"ttl":"60"}', ...INVALID_FIELD('ttl')],
    ['ttl null', '{"userId":"victim","data":1,"ttl":null}', ...INVALID_FIELD('ttl')],
    ['ttl over 30 days', '{"userId":"victim","data":1,"ttl":2592001}', ...INVALID_FIELD('ttl')],
    ['ttl beyond 64 bits', '{"userId":"victim","data":1,"ttl":18446744073709551617}', ...INVALID_FIELD('ttl')],
    ['a duplicate userId', '{"userId":"other","data":1,"userId":"victim"}', 400, { type: 'bad-json' }],
    ['a duplicate data', '{"userId":"victim","data":1,"data":2}', 400, { type: 'bad-json' }],
    ['a duplicate key, once escaped', '{"userId":"victim","data":1,"d\\u0061ta":2}', 400, { type: 'bad-json' }],
    ['an empty body', '', 400, { type: 'bad-json' }],
    ['an array', '[]', 400, {}],
    ['a string', '"victim"', 400, {}],
    ['a value that is not JSON', '{"userId":"victim","data":?}', 400, { type: 'bad-json', offset: 26 }],
    ['a trailing comma', '{"userId":"victim","data":1,}', 400, { type: 'bad-json', offset: 28 }],
    ['garbage behind the end', '{"userId":"victim","data":1} x', 400, { type: 'bad-json', offset: 29 }],
    ['an end that is missing', '{"userId":"victim","data":1', 400, { type: 'bad-json', offset: 27 }],
    ['a leading zero', '{"userId":"victim","data":01}', 400, { type: 'bad-json' }],
    ['a single quote', '{\'userId\':"victim","data":1}', 400, { type: 'bad-json', offset: 1 }],
    ['a raw tab in a string', '{"userId":"victim","data":"a\tb"}', 400, { type: 'bad-json', offset: 28 }],
    ['a bad escape inside data', '{"userId":"victim","data":"\\x41"}', 400, { type: 'bad-json' }],
    ['invalid UTF-8', Buffer.concat([Buffer.from('{"userId":"victim","data":"'), Buffer.from([0xff]), Buffer.from('"}')]),
        400, { type: 'bad-json', offset: 27 }],
    ['a NUL byte', '{"userId":"victim","data":1}\0', 400, { type: 'bad-json', offset: 28 }],
    ['a byte order mark', '\ufeff{"userId":"victim","data":1}', 400, { type: 'bad-json', offset: 0 }],
    ['nesting over 64', `{"userId":"victim","data":${deep(65)}}`, 400, { type: 'bad-json' }],
    ['nesting of 100 000', `{"userId":"victim","data":${deep(100000)}}`, 400, { type: 'bad-json' }],
    ['data over 64 KiB', `{"userId":"victim","data":"${'x'.repeat(65535)}"}`, 413, { type: 'too-large', field: 'data' }],
    ['a body over the ceiling', `{"userId":"victim","data":"${'x'.repeat(2200000)}"}`, 413, { type: 'too-large' }],
    ['userIds x data over 64 MiB',
        JSON.stringify({ userIds: range(2000).map((n) => `victim${n}`), data: 'x'.repeat(60000) }), 413,
        { type: 'too-large' }],
];

async function assertNothingStored(herald, name) {
    for (const userId of [USER, `${USER}0`, 'other']) {
        const { pending, head } = await herald.user(userId);
        assert.deepEqual([pending, head], [0, 0], `nothing stored for ${userId} after ${name}`);
    }
}

module.exports = (test) => {
    for (const [name, body, status, members] of BODIES) {
        test(`${name} is ${status} ${members.type ?? ''}`, async (t) => {
            const herald = await t.sharedHerald('bad');
            const answer = await herald.post('/push', body);
            assertProblem(answer, status, members);
            assertRequestId(answer);
            if (answer.json.type === 'bad-json') {
                assert.ok(Number.isInteger(answer.json.offset), `offset in ${answer.text}`);
                assert.ok(answer.json.offset >= 0 && answer.json.offset <= Buffer.byteLength(body));
            }
            if (members.type === 'invalid-field' && members.field) {
                assert.match(answer.json.detail, new RegExp(members.field));
            }
            await assertNothingStored(herald, name);
        });
    }

    test('nesting of 60 inside data is taken', async (t) => {
        const herald = await t.sharedHerald('bad');
        await herald.mustPush('deep', JSON.parse(deep(60)));
    });

    test('data of exactly 64 KiB is taken', async (t) => {
        const herald = await t.sharedHerald('bad');
        const answer = await herald.post('/push', `{"userId":"big","data":"${'x'.repeat(65534)}"}`);
        assert.equal(answer.status, 202, answer.text);
    });

    test('a body over the ceiling in chunks, whose length nobody told, is 413', async (t) => {
        const herald = await t.sharedHerald('bad');
        const answer = await herald.request('POST', '/push', {
            body: `{"userId":"victim","data":"${'x'.repeat(2200000)}"}`,
            headers: { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' },
        });
        assertProblem(answer, 413, { type: 'too-large' });
        await assertNothingStored(herald, 'a chunked body');
    });

    test('a wrong or missing content type is 415', async (t) => {
        const herald = await t.sharedHerald('bad');
        const body = '{"userId":"victim","data":1}';
        const types = ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x',
            'application/jsonx', 'text/json'];
        for (const type of types) {
            assertProblem(await herald.post('/push', body, { 'Content-Type': type }), 415, { type: 'unsupported-media-type' });
        }
        const none = await herald.request('POST', '/push', { body, headers: { 'Content-Length': body.length } });
        assertProblem(none, 415, { type: 'unsupported-media-type' });
        await assertNothingStored(herald, 'a wrong content type');
    });

    test('a wrong method is 405 with Allow', async (t) => {
        const herald = await t.sharedHerald('bad');
        for (const method of ['GET', 'PUT', 'DELETE']) {
            const answer = await herald.request(method, '/push');
            assertProblem(answer, 405, { type: 'method-not-allowed' });
            assert.match(answer.headers.allow, /\bPOST\b/);
        }
    });

    test('an unknown path is 404', async (t) => {
        const herald = await t.sharedHerald('bad');
        for (const target of ['/pushh', '/push/', '/Push', '/push%2F', '//push', '/ws?userId=1']) {
            assertProblem(await herald.post(target, '{"userId":"victim","data":1}'), 404, { type: 'not-found' });
        }
        await assertNothingStored(herald, 'an unknown path');
    });

    test('each problem has a requestId of its own', async (t) => {
        const herald = await t.sharedHerald('bad');
        const ids = [];
        for (const _ of range(3)) {
            ids.push((await herald.post('/push', '{}')).json.requestId);
        }
        assert.equal(new Set(ids).size, 3);
    });
};
