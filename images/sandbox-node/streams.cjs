// Loads what console.log needs, while no program is there yet: Node takes 2.5 ms for it at the first use. Only modules
// of Node's own are loaded, and no stream is opened, so that a program finds everything as without this file.
require('net')

delete require.cache[__filename]
process.execArgv = process.execArgv.filter((option) => option !== `--require=${__filename}`)
