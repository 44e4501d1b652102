/**
 * The allow list: what `WEFT_EGRESS_ALLOW` and `--allow` let through the guard.
 *
 * | entry                               | lets through                                                              |
 * | ----------------------------------- | ------------------------------------------------------------------------- |
 * | `shop.internal`, `localhost:3000`   | the name, on every port or on one, whatever private address it resolves to |
 * | `10.1.2.3`, `127.0.0.1:9100`, `[::1]:80` | the address, also behind a name that resolves to it                   |
 * | `10.0.0.0/8`, `fd12::/16`           | every address of the range                                                |
 * | `shop.internal/admin`               | this path and what is below it only, sensitive or not; `host/` is all of it |
 *
 * An entry without a path does not lift the refusal of sensitive paths, and a name never lifts link-local and metadata
 * addresses: those must be written as addresses.
 */
import ipaddr from 'ipaddr.js'
import { type IpAddress, parseAddress } from './address.ts'
import { pathSegments } from './path.ts'

export interface AllowEntry {
  /** As the operator wrote it. */
  text: string
  target: { kind: 'name'; name: string } | { kind: 'addresses'; network: IpAddress; prefixLength: number }
  port: number | undefined
  /** Whole decoded segments; undefined when the entry names no path. */
  path: readonly string[] | undefined
}

export type ParsedAllowList = { ok: true; entries: readonly AllowEntry[] } | { ok: false; problems: string[] }

/** Reads all entries and says everything that is wrong with them at once. Blank entries are passed over. */
export function parseAllowList(texts: readonly string[]): ParsedAllowList {
  const entries: AllowEntry[] = []
  const problems: string[] = []
  for (const text of texts.map((raw) => raw.trim())) {
    if (text === '') continue
    const entry = parseEntry(text)
    if (typeof entry === 'string') problems.push(`\`${text}\`: ${entry}`)
    else entries.push(entry)
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, entries }
}

const FORMS = 'write host, host:port, an address, a range such as 10.0.0.0/8, or host/path'

/** The entry, or the sentence that says what is wrong with it. */
function parseEntry(text: string): AllowEntry | string {
  if (/\s|,/.test(text)) return `one entry may not contain spaces or commas; ${FORMS}`
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(text)
  if (scheme) return `leave out the scheme: \`${text.slice(scheme[0].length)}\``
  if (text.includes('*')) return `wildcards are not supported; name each host (${FORMS})`
  if (/[@?#]/.test(text)) return `userinfo, query and fragment have no place here; ${FORMS}`

  const range = /^([^/]+)\/(\d+)$/.exec(text)
  if (range && parseAddress(unbracket(range[1]!))) return parseRange(text, unbracket(range[1]!), range[2]!)

  const slash = text.indexOf('/')
  const authority = slash < 0 ? text : text.slice(0, slash)
  const path = slash < 0 ? undefined : pathSegments(text.slice(slash))
  return parseAuthority(text, authority, path)
}

function parseRange(text: string, network: string, prefix: string): AllowEntry | string {
  if (!ipaddr.isValidCIDR(`${network}/${prefix}`)) return `/${prefix} is not a prefix length of ${network}`
  const [address, prefixLength] = ipaddr.parseCIDR(`${network}/${prefix}`)
  return {
    text,
    target: { kind: 'addresses', network: address, prefixLength },
    port: undefined,
    path: undefined,
  }
}

function parseAuthority(
  text: string,
  authority: string,
  path: readonly string[] | undefined,
): AllowEntry | string {
  const bare = ipaddr.IPv6.isValid(authority) ? authority : undefined
  const [, host, portText] = bare ? [authority, `[${bare}]`] : (/^(.*?)(?::(\d*))?$/.exec(authority) ?? [])
  if (!host) return `there is no host in it; ${FORMS}`
  const port = portText === undefined ? undefined : Number(portText)
  if (port !== undefined && (portText === '' || port < 1 || port > 65_535))
    return `\`${portText}\` is not a port`

  // The URL parser spells a host as the guard will see it: lower case, punycode, one form per address.
  const url = URL.parse(`http://${host}/`)
  const hostname = url === null ? '' : canonicalHost(url.hostname)
  if (hostname === '') return `\`${host}\` is not a host; ${FORMS}`
  const address = parseAddress(unbracket(hostname))
  if (address === undefined) return { text, target: { kind: 'name', name: hostname }, port, path }
  const prefixLength = address.kind() === 'ipv4' ? 32 : 128
  return { text, target: { kind: 'addresses', network: address, prefixLength }, port, path }
}

export const entryCovers = (entry: AllowEntry, address: IpAddress): boolean =>
  entry.target.kind === 'addresses' &&
  entry.target.network.kind() === address.kind() &&
  address.match(entry.target.network, entry.target.prefixLength)

/** One spelling per host: without the trailing dot that marks a fully qualified name. */
export const canonicalHost = (hostname: string): string =>
  hostname.endsWith('.') ? hostname.slice(0, -1) : hostname

export const unbracket = (host: string): string => (host.startsWith('[') ? host.slice(1, -1) : host)
