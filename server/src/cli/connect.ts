/**
 * Finds the server that a command talks to: the one named by a flag or the environment, the one that serves the nearest
 * data directory, or an engine in this process. Says which.
 */
import { homedir } from 'node:os'
import { relative } from 'node:path'
import { readConfig } from '../config.ts'
import { liveServer, readApiKey, startedServer } from '../server-file.ts'
import { Client } from './client.ts'
import type { CliContext, GlobalOptions } from './context.ts'
import { CliError, EXIT } from './exit.ts'

export interface Connection {
  readonly client: Client
  /** In words: which server, and why this one. */
  readonly where: string
  /** The engine runs in this process and ends with the command. */
  readonly isOwnEngine: boolean
  /** An engine of this process that dispatches nothing (WEFT_START_PAUSED), and ends before anybody can resume it. */
  readonly isHeld: boolean
  close(): Promise<void>
}

export async function connect(
  context: CliContext,
  options: GlobalOptions,
  say: (text: string) => void,
): Promise<Connection> {
  const { environment } = context
  const named = options.url ?? environment.url
  if (named !== null && named !== undefined) {
    if (!URL.canParse(named) || !/^https?:/.test(named)) {
      throw new CliError(
        EXIT.invalid,
        `\`${named}\` is not the address of a server: write it like http://127.0.0.1:7400.`,
      )
    }
    const apiKey =
      options.apiKey ?? environment.apiKey ?? (await keyOfLocal(environment.dataDirectory, named))
    return remote(named, apiKey, `${named} (${options.url ? '--url' : 'WEFT_URL'})`)
  }
  const live = await startedServer(environment.dataDirectory, ({ pid }) =>
    say(
      `The server of ${readable(environment.dataDirectory)} is starting (process ${pid}); waiting for it …`,
    ),
  )
  if (live) {
    const apiKey = options.apiKey ?? environment.apiKey ?? (await readApiKey(environment.dataDirectory))
    return remote(live.url, apiKey, `${live.url} (it serves ${readable(environment.dataDirectory)})`)
  }
  return ownEngine(environment.dataDirectory, say)
}

function remote(url: string, apiKey: string | null, where: string): Connection {
  return {
    client: new Client({ url, apiKey }),
    where,
    isOwnEngine: false,
    isHeld: false,
    close: async () => {},
  }
}

/** The key of the data directory is meant for its own server only. */
async function keyOfLocal(dataDirectory: string, url: string): Promise<string | null> {
  const live = await liveServer(dataDirectory)
  return live && new URL(live.url).origin === new URL(url).origin ? readApiKey(dataDirectory) : null
}

async function ownEngine(dataDirectory: string, say: (text: string) => void): Promise<Connection> {
  const read = readConfig({ flags: { dataDirectory, port: '0', logLevel: 'error', logFormat: 'text' } })
  if (!read.ok) throw new CliError(EXIT.invalid, read.problems.join('\n'))
  say(
    `No server serves ${readable(dataDirectory)}: this command brings its own engine. (\`weft dev\` keeps one running.)`,
  )
  const { startWeft } = await import('../main.ts')
  const weft = await startWeft(read.config, { progress: say }).catch((error: unknown) => {
    throw new CliError(EXIT.unreachable, error instanceof Error ? error.message : String(error))
  })
  return {
    client: new Client({ url: weft.url, apiKey: weft.apiKey }),
    where: `an engine in this process, on ${readable(dataDirectory)}`,
    isOwnEngine: true,
    isHeld: read.config.startPaused,
    close: () => weft.stop(),
  }
}

/** A path as short as it can be said. */
function readable(path: string): string {
  const below = relative(process.cwd(), path)
  if (below !== '' && !below.startsWith('..')) return `./${below}`
  return path.startsWith(`${homedir()}/`) ? `~${path.slice(homedir().length)}` : path
}
