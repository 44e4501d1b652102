/** Stands between two programs, sees every byte, and cuts a connection at the moment that a test chooses. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** What one connection's bytes mean to the test; made anew for each connection. */
export interface Watcher {
  /** From whoever connected. `drop`: they vanish, and the connection stands. */
  // biome-ignore lint/suspicious/noConfusingVoidType: most only look
  request?(bytes: Buffer): 'drop' | void
  /**
   * From whom it connected to. `cut`: these bytes are not passed on, and both sides lose the connection; a number: so many
   * of them are, and then they do.
   */
  answer(bytes: Buffer): 'pass' | 'drop' | 'cut' | number
  /** The connection was cut because of its answer. */
  cut?(): void
}

export interface TcpProxy {
  readonly port: number
  readonly cuts: number
  /** Cuts every connection that there is. */
  cutAll(): void
  close(): void
}

export async function tcpProxy(port: number, watch: () => Watcher): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let cuts = 0
  const proxy = createServer((client) => {
    const server = connect(port, '127.0.0.1')
    const watcher = watch()
    let isEnding = false
    const cut = (): void => {
      if (client.destroyed) return
      cuts++
      client.destroy()
      watcher.cut?.()
    }
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        server.destroy()
      })
    }
    client.on('data', (bytes) => {
      if (watcher.request?.(bytes) !== 'drop') server.write(bytes)
    })
    server.on('data', (bytes) => {
      if (isEnding) return
      const verdict = watcher.answer(bytes)
      if (verdict === 'pass') client.write(bytes)
      else if (verdict === 'cut') cut()
      else if (verdict !== 'drop') {
        isEnding = true
        client.write(bytes.subarray(0, verdict), cut)
      }
    })
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const cutAll = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (proxy.address() as AddressInfo).port,
    get cuts() {
      return cuts
    },
    cutAll,
    close() {
      cutAll()
      proxy.close()
    },
  }
}
