/**
 * A TCP proxy that cuts each connection after a number of the server's bytes, and knows whether that was in the middle
 * of a frame: of an HTTP head, of a server-sent event, of a WebSocket frame.
 */
import { type TcpProxy, tcpProxy } from '../../servers/tcp-proxy.ts'

export interface CuttingProxy extends Pick<TcpProxy, 'port' | 'cuts' | 'close'> {
  readonly cutsMidFrame: number
  /** Resolves at the next cut. */
  nextCut(): Promise<void>
}

export async function cuttingProxy(serverPort: number, bytesUntilCut: () => number): Promise<CuttingProxy> {
  let cutsMidFrame = 0
  let waiting: (() => void)[] = []
  const proxy = await tcpProxy(serverPort, () => {
    const frames = new Frames()
    let left = bytesUntilCut()
    return {
      answer(bytes) {
        const passed = bytes.subarray(0, left)
        left -= passed.length
        frames.read(passed)
        return left > 0 ? 'pass' : passed.length
      },
      cut() {
        if (frames.isInside) cutsMidFrame++
        for (const go of waiting) go()
        waiting = []
      },
    }
  })
  return {
    port: proxy.port,
    get cuts() {
      return proxy.cuts
    },
    get cutsMidFrame() {
      return cutsMidFrame
    },
    nextCut: () => new Promise((resolve) => waiting.push(resolve)),
    close: proxy.close,
  }
}

const END_OF_HEAD = '\r\n\r\n'
/** Of a chunk that holds one or more whole events. */
const END_OF_EVENTS = '\n\n\r\n'

/** Where in the server's answer a connection stands. */
class Frames {
  #head = ''
  #isWebSocket = false
  #tail = ''
  /** Bytes of a WebSocket frame that has begun and is not whole. */
  #frame = Buffer.alloc(0)

  read(bytes: Buffer): void {
    let body = bytes
    if (!this.#head.endsWith(END_OF_HEAD)) {
      const text = this.#head + bytes.toString('latin1')
      const end = text.indexOf(END_OF_HEAD)
      const length = end < 0 ? text.length : end + END_OF_HEAD.length
      body = bytes.subarray(length - this.#head.length)
      this.#head = text.slice(0, length)
      this.#isWebSocket = this.#head.startsWith('HTTP/1.1 101')
    }
    if (this.#isWebSocket) this.#readFrames(body)
    else this.#tail = (this.#tail + body.toString('latin1')).slice(-END_OF_EVENTS.length)
  }

  get isInside(): boolean {
    if (!this.#head.endsWith(END_OF_HEAD)) return this.#head !== ''
    return this.#isWebSocket ? this.#frame.length > 0 : this.#tail !== '' && this.#tail !== END_OF_EVENTS
  }

  #readFrames(bytes: Buffer): void {
    this.#frame = Buffer.concat([this.#frame, bytes])
    for (;;) {
      const length = frameLength(this.#frame)
      if (length === null || length > this.#frame.length) return
      this.#frame = this.#frame.subarray(length)
    }
  }
}

/** Of the server's frame at the start of these bytes, which is not masked; `null`: not enough of them to say. */
function frameLength(bytes: Buffer): number | null {
  if (bytes.length < 2) return null
  const short = bytes.readUInt8(1)
  if (short < 126) return 2 + short
  if (short === 126) return bytes.length < 4 ? null : 4 + bytes.readUInt16BE(2)
  return bytes.length < 10 ? null : 10 + Number(bytes.readBigUInt64BE(2))
}
