import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { judgeAddress, parseAddress } from '../../src/egress/address.ts'
import { egressWith, noResolver, refusalOf } from './local-server.ts'

const isPublic = (text: string): boolean => judgeAddress(parseAddress(text)!).blocked === undefined

const BLOCKED: Record<string, string[]> = {
  unspecified: ['0.0.0.0', '0.1.2.3', '::'],
  loopback: ['127.0.0.1', '127.255.255.254', '::1'],
  private: [
    '10.0.0.1',
    '10.255.255.255',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    'fc00::1',
    'fd12:3456::1',
    'fec0::1',
  ],
  'link-local': ['169.254.0.1', '169.254.169.253', 'fe80::1', 'febf::1'],
  metadata: ['169.254.169.254', 'fd00:ec2::254', '100.100.100.200'],
  'carrier-grade NAT': ['100.64.0.1', '100.127.255.255'],
  multicast: ['224.0.0.1', '239.255.255.255', 'ff02::1'],
  broadcast: ['255.255.255.255'],
  'benchmark, documentation, reserved': [
    '198.18.0.1',
    '198.19.255.255',
    '192.0.2.1',
    '198.51.100.1',
    '203.0.113.1',
    '192.0.0.8',
    '192.88.99.1',
    '240.0.0.1',
    '2001:2::1',
    '2001:db8::1',
    '3fff::1',
    '100::1',
    '4000::1',
    '5f00::1',
  ],
  'IPv4 in IPv6': [
    '::ffff:127.0.0.1',
    '::ffff:10.0.0.1',
    '::ffff:169.254.169.254',
    '::127.0.0.1',
    '::ffff:0:127.0.0.1',
    '64:ff9b::127.0.0.1',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b:1::7f00:1',
    '64:ff9b:1::808:808',
    '2002:7f00:1::',
    '2002:808:808::1',
    '2001::1',
    '2001:0:808:808::1',
    '2a00::5efe:7f00:1',
    '2a00::200:5efe:a00:1',
  ],
}

describe('only public addresses are public', () => {
  for (const [range, addresses] of Object.entries(BLOCKED)) {
    test.each(addresses)(`${range}: %s`, (address) => expect(isPublic(address)).toBe(false))
  }

  test.each([
    '8.8.8.8',
    '1.1.1.1',
    '100.63.255.255',
    '100.128.0.1',
    '172.15.0.1',
    '172.32.0.1',
    '169.253.0.1',
    '192.167.1.1',
    '2606:4700::1111',
    '2a00:1450::200e',
    '::ffff:8.8.8.8',
    '64:ff9b::8.8.8.8',
  ])('%s is public', (address) => expect(isPublic(address)).toBe(true))
})

/** Every way to write an IPv4 address that a URL parser understands. */
const SPELLINGS: Record<string, (octets: number[], value: number) => string> = {
  dotted: (octets) => octets.join('.'),
  decimal: (_, value) => String(value),
  hex: (_, value) => `0x${value.toString(16)}`,
  octal: (_, value) => `0${value.toString(8)}`,
  'octal octets': (octets) => octets.map((octet) => `0${octet.toString(8)}`).join('.'),
  'hex octets': (octets) => octets.map((octet) => `0x${octet.toString(16)}`).join('.'),
  'two parts': (octets, value) => `${octets[0]}.${value & 0xffffff}`,
  'three parts': (octets, value) => `${octets[0]}.${octets[1]}.${value & 0xffff}`,
  'trailing dot': (octets) => `${octets.join('.')}.`,
  escaped: (octets) => octets.join('%2e'),
  'full width': (octets) => octets.join('。'),
  mapped: (octets) => `[::ffff:${octets.join('.')}]`,
  'mapped in hex': (_, value) => `[::ffff:${(value >>> 16).toString(16)}:${(value & 0xffff).toString(16)}]`,
  NAT64: (octets) => `[64:ff9b::${octets.join('.')}]`,
  compatible: (octets) => `[::${octets.join('.')}]`,
  '6to4': (_, value) => `[2002:${(value >>> 16).toString(16)}:${(value & 0xffff).toString(16)}::1]`,
}

const wordOf = (octets: number[]): number => octets.reduce((value, octet) => value * 256 + octet, 0)

test.each(Object.keys(SPELLINGS))(
  'a private address is refused when it is written as %s',
  async (spelling) => {
    const egress = egressWith({ allow: [], resolve: noResolver })
    const octet = fc.nat(255)
    const inside = fc.oneof(
      fc.tuple(fc.constant(127), octet, octet, octet),
      fc.tuple(fc.constant(10), octet, octet, octet),
      fc.tuple(fc.constant(192), fc.constant(168), octet, octet),
      fc.tuple(fc.constant(169), fc.constant(254), octet, octet),
      fc.constant<[number, number, number, number]>([169, 254, 169, 254]),
    )
    await fc.assert(
      fc.asyncProperty(inside, async (octets) => {
        const host = SPELLINGS[spelling]!(octets, wordOf(octets))
        const error = await refusalOf(egress.request({ method: 'GET', url: `http://${host}:8080/` }))
        expect(error.code).toBe('egress_denied')
        expect(error.retryable).toBe(false)
      }),
      { numRuns: 50 },
    )
  },
)
