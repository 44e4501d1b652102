import { createServer } from 'node:net'

/**
 * Below what systems give to outgoing connections and to whoever listens on port 0: between this answer and the moment
 * somebody listens there, and while a server is killed and started again, no other program gets the port by chance.
 */
const FIRST = 12_000
const LAST = 32_000

// Each test process begins elsewhere, and no process gives a port twice.
let next = FIRST + Math.floor(Math.random() * (LAST - FIRST))

/** A port of this machine that nobody listens on, and that nobody else is given. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = next
    next = port === LAST ? FIRST : port + 1
    if (await isFree(port)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  const probe = createServer()
  return new Promise((resolve) => {
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
