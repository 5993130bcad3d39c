// Visitors' code in a Node that waits for it, as `node main.js` would run it.
'use strict';

const fs = require('fs');
const { runMain } = require('module');

// What the first console.log or stream would load. The standard streams themselves are left alone: to open one makes
// it non-blocking, which code that uses the descriptor would notice.
for (const name of ['assert', 'buffer', 'events', 'net', 'path', 'readline', 'stream', 'timers', 'tty', 'url', 'util']) {
  require(name);
}
require('util').inspect({ ahead: [1, 'text', new Map()] });

const descriptor = Number(process.argv[2]);
fs.writeSync(descriptor, 'R');
const job = JSON.parse(fs.readFileSync(descriptor, 'utf8'));
fs.closeSync(descriptor);
process.argv.splice(1, Infinity, job.main, ...job.args);
delete require.cache[__filename];
// From the queue, so that no frame of ours is in a stack trace.
process.nextTick(runMain, job.main);
