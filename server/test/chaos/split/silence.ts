/** A TCP proxy that can go silent: connections stand, new ones are taken, and not a byte passes in either direction. */
import { type TcpProxy, tcpProxy } from '../../servers/tcp-proxy.ts'

export class SilentProxy {
  readonly #proxy: TcpProxy
  readonly #state: { isSilent: boolean }

  private constructor(proxy: TcpProxy, state: { isSilent: boolean }) {
    this.#proxy = proxy
    this.#state = state
  }

  static async start(url: string): Promise<SilentProxy> {
    const state = { isSilent: false }
    const proxy = await tcpProxy(Number(new URL(url).port), () => ({
      request: () => (state.isSilent ? 'drop' : undefined),
      answer: () => (state.isSilent ? 'drop' : 'pass'),
    }))
    return new SilentProxy(proxy, state)
  }

  /** The same address behind the proxy. */
  addressFor(url: string): string {
    const address = new URL(url)
    address.port = String(this.#proxy.port)
    return address.href
  }

  fallSilent(): void {
    this.#state.isSilent = true
  }

  /** Bytes are missing from the connections that there are: they are reset, as by a firewall that forgot them. */
  speak(): void {
    this.#state.isSilent = false
    this.#proxy.cutAll()
  }

  close(): void {
    this.#proxy.close()
  }
}
