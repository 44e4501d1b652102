/**
 * Paths as whole decoded segments, and the ones nobody should fetch by accident.
 *
 * A server decodes what a client encoded, so the comparison happens on what the server will see: percent-decoding,
 * repeatedly, both slashes, `.` and `..`, matrix parameters, full-width letters, trailing dots and spaces, case.
 */

/** Refused wherever the segment stands: files and folders that hold secrets and are never an API. */
const HIDDEN_SEGMENTS = new Set([
  '.env',
  '.git',
  '.svn',
  '.hg',
  '.aws',
  '.azure',
  '.ssh',
  '.kube',
  '.docker',
  '.npmrc',
  '.pypirc',
  '.netrc',
  '.htpasswd',
  '.htaccess',
  '.ds_store',
])

/** Refused at the start of a path: consoles and places that hand out keys. */
const SENSITIVE_PREFIXES: readonly (readonly string[])[] = [
  ['admin'],
  ['wp-admin'],
  ['phpmyadmin'],
  ['actuator'],
  ['server-status'],
  ['api', 'admin'],
  ['api', 'keys'],
  ['api', 'key'],
  ['api', 'secrets'],
  ['api', 'credentials'],
  ['api', 'tokens'],
  ['latest', 'meta-data'],
  ['latest', 'user-data'],
  ['computemetadata'],
]

/** What an ordinary API path is made of: such a path is already in the form that the server compares. */
const PLAIN = /^[a-z0-9/_~-]*$/

export function pathSegments(pathname: string): string[] {
  if (PLAIN.test(pathname)) return pathname.split('/').filter((segment) => segment !== '')
  const segments: string[] = []
  for (const raw of decodeFully(pathname).split(/[/\\]/)) {
    const segment = raw.split(';', 1)[0]!.split('\0', 1)[0]!.normalize('NFKC').toLowerCase()
    if (segment === '' || segment === '.') continue
    if (segment === '..') {
      segments.pop()
      continue
    }
    const trimmed = segment.replace(/[.\s]+$/, '')
    if (trimmed !== '') segments.push(trimmed)
  }
  return segments
}

/** Behind proxies a path may be decoded more than once; nothing decodes more often than this. */
const DECODING_PASSES = 4

/** Percent-decodes until stable. Escapes that are not UTF-8 keep their form, except for the ASCII ones among them. */
function decodeFully(text: string): string {
  let current = text
  for (let pass = 0; pass < DECODING_PASSES && current.includes('%'); pass++) {
    current = current.replace(/(?:%[0-9a-f]{2})+/gi, (escaped) => {
      try {
        return decodeURIComponent(escaped)
      } catch {
        return escaped.replace(/%([0-7][0-9a-f])/gi, (_, hex: string) =>
          String.fromCharCode(Number.parseInt(hex, 16)),
        )
      }
    })
  }
  return current
}

/** The sensitive part of a path as it would stand in an allow entry (`/api/keys`), or undefined. */
export function sensitivePath(segments: readonly string[]): string | undefined {
  const hidden = segments.findIndex((segment) => HIDDEN_SEGMENTS.has(segment) || segment.startsWith('.env.'))
  if (hidden >= 0) return `/${segments.slice(0, hidden + 1).join('/')}`
  const prefix = SENSITIVE_PREFIXES.find((candidate) => startsWith(segments, candidate))
  return prefix === undefined ? undefined : `/${prefix.join('/')}`
}

export const startsWith = (segments: readonly string[], prefix: readonly string[]): boolean =>
  prefix.length <= segments.length && prefix.every((part, index) => part === segments[index])
