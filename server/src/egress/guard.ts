/**
 * The rules: may a request go to this URL, and to this address?
 *
 * Owns the decision, in two parts that share one `Passage`. `check(url)` judges what the URL alone says: scheme,
 * userinfo, name, literal address, path. `judge(addresses)` judges what the name resolved to, and is asked by the
 * connector for every connection. Does not open connections and does not resolve names.
 *
 * Invariants
 * 1. A passage's `key` names exactly the allow entries that were applied. Connections are kept per origin and key, so
 *    that a kept-alive connection to an address that one entry lifted never serves a request that the entry does not
 *    cover.
 * 2. If one address of a name is refused, the name is: which one a connection would pick is not ours to foresee.
 */
import { type AddressVerdict, type IpAddress, judgeAddress, parseAddress } from './address.ts'
import { type AllowEntry, canonicalHost, entryCovers, unbracket } from './allow.ts'
import { EgressError, refused, shownUrl } from './error.ts'
import { pathSegments, sensitivePath, startsWith } from './path.ts'

/** Leave to connect to an origin under certain allow entries. */
export interface Passage {
  /** `scheme//host:port`, with the host in its canonical spelling. */
  origin: string
  /** The applied allow entries; empty when only public addresses may be reached. */
  key: string
  /** Throws `egress_denied` unless every address may be connected to. */
  judge(addresses: readonly IpAddress[]): void
}

export interface Guard {
  /** The passage for a URL. Throws the refusal. Brings the URL's host into its canonical spelling. */
  check(url: URL): Passage
}

const DEFAULT_PORTS: Record<string, number> = { 'http:': 80, 'https:': 443 }

const METADATA_NAMES = new Set([
  'metadata',
  'metadata.google.internal',
  'metadata.goog',
  'metadata.azure.internal',
  'instance-data',
  'instance-data.ec2.internal',
])

export function createGuard(allow: readonly AllowEntry[]): Guard {
  /** What an origin's URLs have in common, kept because nearly every request goes where the last one went. */
  const sites = new Map<string, Site>()

  function siteOf(url: URL): Site {
    const known = sites.get(url.origin)
    if (known !== undefined) return known
    const site = describeSite(url, allow)
    if (sites.size >= 1_000) sites.clear()
    sites.set(url.origin, site)
    return site
  }

  return {
    check(url) {
      if (url.protocol !== 'http:' && url.protocol !== 'https:') {
        throw new EgressError(
          'egress_scheme',
          `\`${url.protocol}\` URLs are not fetched: only http and https are. Use an https:// address.`,
        )
      }
      if (url.username !== '' || url.password !== '') {
        throw new EgressError(
          'invalid_url',
          `The URL ${shownUrl(url)} carries a user name or password. Take it out and use the node's \`credential\` or an Authorization header.`,
        )
      }
      if (url.hostname.endsWith('.')) url.hostname = canonicalHost(url.hostname)
      if (url.hostname.endsWith('.'))
        throw new EgressError('invalid_url', `The host of ${shownUrl(url)} is not a name.`)

      const site = siteOf(url)
      const segments = pathSegments(url.pathname)
      const passage = site.passage(segments)
      const sensitive = sensitivePath(segments)
      if (passage.refusal !== undefined) throw passage.refusal(url, sensitive ?? '')
      if (sensitive !== undefined && !passage.liftsPath) {
        throw refused(
          'egress_path_denied',
          `The request to ${shownUrl(url)} was refused: \`${sensitive}\` is a place where servers keep keys or consoles.`,
          `${site.authority}${sensitive}`,
        )
      }
      return passage
    },
  }
}

interface Site {
  authority: string
  passage(segments: readonly string[]): SitePassage
}

interface SitePassage extends Passage {
  /** Why no request may go there, judged by the name or the literal address alone. */
  refusal: ((url: URL, sensitivePath: string) => EgressError) | undefined
  liftsPath: boolean
}

function describeSite(url: URL, allow: readonly AllowEntry[]): Site {
  const port = url.port === '' ? DEFAULT_PORTS[url.protocol]! : Number(url.port)
  const host = {
    name: url.hostname,
    address: parseAddress(unbracket(url.hostname)),
    authority: `${url.hostname}:${port}`,
  }
  const candidates = allow.filter(
    (entry) =>
      (entry.port === undefined || entry.port === port) &&
      (entry.target.kind === 'name'
        ? entry.target.name === host.name
        : host.address === undefined || entryCovers(entry, host.address)),
  )
  const passages = new Map<string, SitePassage>()
  return {
    authority: host.authority,
    passage(segments) {
      const applied = candidates.filter(
        (entry) => entry.path === undefined || startsWith(segments, entry.path),
      )
      const key = applied.map((entry) => entry.text).join(' ')
      let passage = passages.get(key)
      if (passage === undefined) {
        passage = describePassage(url.origin, key, host, applied)
        passages.set(key, passage)
      }
      return passage
    },
  }
}

interface Host {
  name: string
  /** Set when the URL holds an address instead of a name. */
  address: IpAddress | undefined
  /** `host:port`, as an allow entry names it. */
  authority: string
}

function describePassage(
  origin: string,
  key: string,
  host: Host,
  applied: readonly AllowEntry[],
): SitePassage {
  const named = applied.some((entry) => entry.target.kind === 'name')
  const lifted = ({ address, hardened }: AddressVerdict): boolean =>
    (named && !hardened) || applied.some((entry) => entryCovers(entry, address))
  const blocked = (address: IpAddress): AddressVerdict | undefined => {
    const verdict = judgeAddress(address)
    return verdict.blocked === undefined || lifted(verdict) ? undefined : verdict
  }

  return {
    origin,
    key,
    refusal: refusalByName(host, named) ?? refusalByAddress(host, blocked),
    // An entry with a path was only applied because the request's path lies below it.
    liftsPath: applied.some(
      (entry) => entry.path !== undefined && (entry.target.kind === 'name' || host.address !== undefined),
    ),
    judge(addresses) {
      for (const address of addresses) {
        const verdict = blocked(address)
        if (verdict === undefined) continue
        throw refused(
          'egress_denied',
          `The request to ${origin} was refused: ${host.name} resolves to ${address}, ${verdict.blocked}, and workflows reach public addresses only.`,
          verdict.hardened ? authorityOf(address, host.authority) : host.authority,
        )
      }
    },
  }
}

function refusalByName({ name, authority }: Host, named: boolean): SitePassage['refusal'] {
  const local = name === 'localhost' || name.endsWith('.localhost')
  if (named || (!local && !METADATA_NAMES.has(name))) return undefined
  const what = local ? 'is this machine' : "is a cloud's metadata service"
  return (url, path) =>
    refused(
      'egress_denied',
      `The request to ${shownUrl(url)} was refused: ${name} ${what}, and workflows reach public addresses only.`,
      `${authority}${path}`,
    )
}

function refusalByAddress(
  { address, authority }: Host,
  blocked: (address: IpAddress) => AddressVerdict | undefined,
): SitePassage['refusal'] {
  const verdict = address && blocked(address)
  if (verdict === undefined) return undefined
  return (url, path) =>
    refused(
      'egress_denied',
      `The request to ${shownUrl(url)} was refused: ${address} is ${verdict.blocked}, and workflows reach public addresses only.`,
      `${authority}${path}`,
    )
}

const authorityOf = (address: IpAddress, authority: string): string =>
  `${address.kind() === 'ipv6' ? `[${address}]` : address}${authority.slice(authority.lastIndexOf(':'))}`
