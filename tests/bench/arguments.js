'use strict';
/* The arguments of a benchmark: --NAME VALUE, each with a default; some are numbers with an upper bound. */

const path = require('node:path');

/* defaults: {name: text}; most: {name: the largest number}. `herald` is the program, as a whole path. */
function readArguments(args, defaults, most) {
    const options = { herald: path.join(__dirname, '../../build/release/herald'), ...defaults };
    for (let i = 0; i < args.length; i += 2) {
        const name = args[i].replace(/^--/, '');
        if (!(name in options) || args[i + 1] === undefined) {
            throw new Error(`not understood: ${args[i]}; the options are ${Object.keys(options).map((each) => `--${each}`).join(' ')}`);
        }
        options[name] = args[i + 1];
    }
    for (const [name, bound] of Object.entries(most)) {
        options[name] = Number(options[name]);
        if (!Number.isInteger(options[name]) || options[name] < 1 || options[name] > bound) {
            throw new Error(`--${name} is a number from 1 to ${bound}`);
        }
    }
    return { ...options, herald: path.resolve(options.herald) };
}

module.exports = { readArguments };
