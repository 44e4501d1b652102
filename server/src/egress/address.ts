/**
 * What an IP address is: public, or why not.
 *
 * Only global unicast is public. Forms of IPv6 that carry an IPv4 address are judged by what they carry where the
 * network translates them one to one (mapped, NAT64's well-known prefix), and refused where they tunnel (6to4, Teredo,
 * ISATAP, local NAT64), since no table says where such a packet comes out.
 */
import ipaddr from 'ipaddr.js'

export type IpAddress = ipaddr.IPv4 | ipaddr.IPv6

/** Addresses under which clouds hand out credentials to whoever asks. Most lie in link-local, these two do not. */
const METADATA = new Set(['fd00:ec2::254', '100.100.100.200'])
const METADATA_IPV4 = '169.254.169.254'

const NAMES: Record<string, string> = {
  unspecified: 'an unspecified address (0.0.0.0/8, ::)',
  broadcast: 'the broadcast address',
  multicast: 'a multicast address',
  linkLocal: 'a link-local address',
  loopback: 'a loopback address',
  carrierGradeNat: 'a carrier-grade NAT address (100.64.0.0/10)',
  private: 'a private address',
  uniqueLocal: 'a private address (fc00::/7)',
  deprecatedSiteLocal: 'a private address (fec0::/10)',
  ipv4Mapped: 'an IPv4-mapped address',
  rfc6145: 'an IPv4-translated address',
  rfc6052: 'a NAT64 address of a local network',
  '6to4': 'a 6to4 tunnel address',
  teredo: 'a Teredo tunnel address',
  benchmarking: 'a benchmarking address',
  discard: 'a discard address',
}

export interface AddressVerdict {
  address: IpAddress
  /** Why the address is not public, as a noun phrase; undefined when it is. */
  blocked: string | undefined
  /** Link-local and metadata addresses: an allowed host name never lifts these, only an entry with the address does. */
  hardened: boolean
}

export function parseAddress(text: string): IpAddress | undefined {
  return ipaddr.isValid(text) ? ipaddr.parse(text) : undefined
}

export function judgeAddress(address: IpAddress): AddressVerdict {
  const carried = carriedIpv4(address)
  if (carried !== undefined) {
    const inner = judgeAddress(carried)
    if (inner.blocked === undefined) return { address, blocked: undefined, hardened: false }
    return { address, blocked: `${inner.blocked} (${carried}) in IPv6 form`, hardened: inner.hardened }
  }
  if (isMetadata(address)) return { address, blocked: "a cloud's metadata address", hardened: true }
  const range: string = address.range()
  if (range !== 'unicast') {
    return { address, blocked: NAMES[range] ?? 'a reserved address', hardened: range === 'linkLocal' }
  }
  if (address.kind() === 'ipv6' && !isGlobalIpv6(address as ipaddr.IPv6)) {
    return { address, blocked: 'a reserved address', hardened: false }
  }
  return { address, blocked: undefined, hardened: false }
}

const isMetadata = (address: IpAddress): boolean => {
  const text = address.kind() === 'ipv4' ? address.toString() : (address as ipaddr.IPv6).toRFC5952String()
  return text === METADATA_IPV4 || METADATA.has(text)
}

/** The IPv4 address that the network will really connect to, for `::ffff:a.b.c.d` and `64:ff9b::a.b.c.d`. */
function carriedIpv4(address: IpAddress): ipaddr.IPv4 | undefined {
  if (address.kind() === 'ipv4') return undefined
  const { parts } = address as ipaddr.IPv6
  const mapped = parts.slice(0, 5).every((part) => part === 0) && parts[5] === 0xffff
  const nat64 = parts[0] === 0x64 && parts[1] === 0xff9b && parts.slice(2, 6).every((part) => part === 0)
  if (!mapped && !nat64) return undefined
  const [high, low] = [parts[6]!, parts[7]!]
  return new ipaddr.IPv4([high >> 8, high & 0xff, low >> 8, low & 0xff])
}

/** Global unicast is 2000::/3 so far; an interface id of `[0200:]5efe` marks an ISATAP tunnel (RFC 5214). */
const isGlobalIpv6 = ({ parts }: ipaddr.IPv6): boolean =>
  (parts[0]! & 0xe000) === 0x2000 && !((parts[4]! & ~0x0200) === 0 && parts[5] === 0x5efe)
